# The pinned CUDA image on NVIDIA's base. What is installed is fetched and checked beforehand, so no step needs a network:
#   python images/torch-cuda/context.py build/torch-cuda
#   docker build --network none --file Dockerfile build/torch-cuda
# The variant without a base from a hub is images/torch-cuda/recipe.toml; both install the same requirements.lock.
ARG BASE=nvidia/cuda:13.0.3-cudnn-runtime-ubuntu24.04@sha256:14f6d08d1cd4a96effbfe3101d0b56326f552c199d05e4979ee0bd616df5811b

FROM ${BASE} AS python
ENV DEBIAN_FRONTEND=noninteractive
COPY debs /tmp/debs
# What the base already has stays as it is there.
RUN for deb in /tmp/debs/*.deb; do \
           dpkg-query -W -f '${Status}' "$(dpkg-deb -f "$deb" Package)" 2>/dev/null | grep -q 'ok installed' || echo "$deb"; \
       done | xargs apt-get install -y --no-install-recommends \
    && ln -s python3 /usr/bin/python \
    && { grep -q ':1000:' /etc/passwd || echo 'runner:x:1000:1000:runner:/tmp:/bin/sh' >>/etc/passwd; } \
    && mkdir -p /code /data /outputs /run/executor \
    && rm -rf /tmp/debs /var/log/apt /var/log/dpkg.log

FROM python AS wheels
COPY wheels /tmp/wheels
ENV PYTHONHASHSEED=0
RUN PYTHONPATH="$(echo /tmp/wheels/installer-*.whl)" python3 -B -m installer --no-compile-bytecode /tmp/wheels/*.whl \
    && python3 -c "import compileall, py_compile as p; \
compileall.compile_dir('/usr/local/lib/python3.12', quiet=2, workers=1, invalidation_mode=p.PycInvalidationMode.UNCHECKED_HASH)"

FROM python
COPY --from=wheels /usr/local/lib/python3.12 /usr/local/lib/python3.12
COPY --from=wheels /usr/local/bin /usr/local/bin
ENV LANG=C.UTF-8
# NVIDIA's entry point prints a banner, which would be part of every log.
ENTRYPOINT []
CMD ["python"]
