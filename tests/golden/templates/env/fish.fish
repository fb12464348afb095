set -gx DOCKER_HOST 'tcp://127.0.0.1:40123';
set -gx DOCKER_CERT_PATH '/home/it\'s me/a  "b" $HOME `id` \\ %PATH% !x';
set -e DOCKER_CONTEXT;
# One thing more.
# Run this command to configure your shell:
# fleet env host1 | source
