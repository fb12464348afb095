$Env:DOCKER_HOST = 'tcp://127.0.0.1:40123'
$Env:DOCKER_CERT_PATH = '/home/it''s me/a  "b" $HOME `id` \ %PATH% !x'
Remove-Item -ErrorAction SilentlyContinue Env:DOCKER_CONTEXT
# One thing more.
# Run this command to configure your shell:
# & fleet env host1 | Invoke-Expression
