"""What a model looks at, and pictures through kernels set by hand."""
