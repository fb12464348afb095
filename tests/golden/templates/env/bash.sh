export DOCKER_HOST='tcp://127.0.0.1:40123';
export DOCKER_CERT_PATH='/home/it'\''s me/a '' "b" $HOME `id` \ %PATH% !x';
unset DOCKER_CONTEXT;
# One thing more.
# Run this command to configure your shell:
# eval $(fleet env host1)
