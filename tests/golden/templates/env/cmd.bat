SET "DOCKER_HOST=tcp://127.0.0.1:40123"
SET "DOCKER_CERT_PATH=/home/it's me/a  b $HOME `id` \ %PATH% !x"
SET "DOCKER_CONTEXT="
REM One thing more.
REM Run this command to configure your shell:
REM @FOR /f "tokens=*" %i IN ('fleet env host1') DO @%i
