# Two images of one lock: `airflow` runs every service of Airflow, `job` runs a stage on Dataproc Serverless or Vertex AI.
#   docker build --target job --build-arg REVISION="$(git rev-parse HEAD)" --tag … .
# The slim image of Airflow holds no provider, so the lock alone decides every library.
# `python scripts/pin_images.py` writes the digest behind a tag. CI calls it first, so no image of CI has a loose base.
ARG AIRFLOW_IMAGE=apache/airflow:slim-3.3.2-python3.12
ARG PYTHON_IMAGE=python:3.12.15-slim-bookworm@sha256:34386ef0cb081344d7ec1c103ba398e6e9f64e9ab3a1509accc92a4e24a07258

FROM ${PYTHON_IMAGE} AS job
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Google Cloud, "Use custom containers with Serverless for Apache Spark": procps and tini for Spark's scripts, jemalloc, a
# user `spark` with uid and gid 1099 and a home. Spark and Java are mounted at run time, and no image may bring its own Spark.
# A release of Debian has one version of a package, so there is nothing to pin.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install --yes --no-install-recommends libjemalloc2 procps tini \
  && rm -rf /var/lib/apt/lists/* \
  && groupadd --gid 1099 spark \
  && useradd --uid 1099 --gid 1099 --create-home --home-dir /home/spark spark
# The last two lines say where Vertex AI mounts the GPU's driver, and which of its libraries this image needs.
ENV LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2 \
    PYSPARK_PYTHON=/usr/local/bin/python \
    PYTHONUNBUFFERED=1 \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY requirements.txt requirements-gpu.txt /opt/contrail/
# The lock is complete. So --no-deps saves pip the resolution, and --require-hashes refuses anything else. The engines are
# left out of it: Dataproc puts its own PySpark on PYTHONPATH, and no other remote job needs one.
RUN awk '/^[a-z]/ { kept = !/^(pyspark|py4j|pysail)==/ } kept' /opt/contrail/requirements.txt > /tmp/requirements.txt \
  && pip install --no-cache-dir --no-deps --require-hashes --requirement /tmp/requirements.txt \
      --requirement /opt/contrail/requirements-gpu.txt \
  && sha256sum /opt/contrail/requirements.txt | cut --delimiter=' ' --fields=1 > /opt/contrail/requirements.sha256
COPY include/contrail/dispatch/bootstrap.py /opt/contrail/
ARG REVISION=unknown
ARG PYTHON_IMAGE
# `contrail doctor` reads the label without pulling the image. The build refuses the hash of another lock.
ARG LOCK=""
RUN [ -z "${LOCK}" ] || [ "${LOCK}" = "$(cat /opt/contrail/requirements.sha256)" ]
LABEL org.opencontainers.image.title="contrail-job" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      contrail.requirements.sha256="${LOCK}"
USER 1099
WORKDIR /home/spark
# A job runs to its end, and its submitter watches it.
HEALTHCHECK NONE

FROM ${AIRFLOW_IMAGE} AS airflow
COPY requirements.txt requirements-data.txt /opt/contrail/
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement /opt/contrail/requirements.txt \
      --requirement /opt/contrail/requirements-data.txt
USER 0
# Volumes take their owner from these folders when they are first mounted.
RUN install --directory --owner=airflow --group=root --mode=0770 /var/lib/contrail /opt/airflow/logs
# Root owns the code, so no process of Airflow can change what it runs.
COPY pyproject.toml airflow_settings.yaml /opt/contrail/
COPY dags /opt/contrail/dags
COPY plugins /opt/contrail/plugins
COPY include /opt/contrail/include
ARG REVISION=unknown
# Every published row names the revision, and the image has no git.
RUN printf '%s' "${REVISION}" > /opt/contrail/REVISION
ARG AIRFLOW_IMAGE
LABEL org.opencontainers.image.title="contrail" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${AIRFLOW_IMAGE}"
USER 50000
ENV CONTRAIL_PROJECT=/opt/contrail \
    CONTRAIL_HOME=/var/lib/contrail \
    PYTHONPATH=/opt/contrail/include:/opt/contrail/plugins \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/contrail/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/contrail/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
CMD ["api-server"]
# This check is for the API server. docker-compose.yaml has those of the other services.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
  CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://localhost:8080/api/v2/version"]
