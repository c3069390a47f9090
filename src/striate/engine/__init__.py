"""Training any module on any batches: settings, losses, optimizers, schedules, the step, the loop."""
