# An exported model behind HTTP: ONNX Runtime and the model, no PyTorch; not root, and on a file system that cannot be written to.
#
#   cp runs/NAME/export/model.onnx .
#   docker build --tag striate-serve .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#       --env STRIATE_TOKEN --publish 127.0.0.1:8000:8000 striate-serve
FROM python:3.11-slim AS packages
WORKDIR /build
ENV NEEDED="annotated-doc annotated-types anyio click fastapi flatbuffers granian idna markdown-it-py mdurl numpy onnxruntime \
    opentelemetry-api packaging pillow prometheus-client protobuf pydantic pydantic-core pygments python-multipart pyyaml rich \
    shellingham simplejpeg starlette typer typing-extensions typing-inspection"
COPY requirements.lock pyproject.toml README.md LICENSE ./
# The pins of these packages with their hashes, and nothing that they would like to have beside that.
RUN python -m venv --without-pip /striate \
    && awk -v needed="$NEEDED" 'BEGIN { split(needed, names, " "); for (i in names) wanted[names[i]] } \
        /^[^ #]/ { split($1, pin, "=="); taken = pin[1] in wanted } taken' requirements.lock >pins \
    && pip --python /striate/bin/python install --no-cache-dir --no-deps --only-binary :all: --require-hashes --requirement pins
COPY src src
RUN pip --python /striate/bin/python install --no-cache-dir --no-deps .

FROM python:3.11-slim
COPY --from=packages /striate /striate
ARG MODEL=model.onnx
COPY $MODEL /models/model.onnx
USER 65534:65534
EXPOSE 8000
HEALTHCHECK --start-period=20s CMD ["/striate/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz')"]
ENTRYPOINT ["/striate/bin/striate", "serve", "/models/model.onnx", "--host", "0.0.0.0"]
