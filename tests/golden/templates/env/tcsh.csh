setenv DOCKER_HOST 'tcp://127.0.0.1:40123';
setenv DOCKER_CERT_PATH '/home/it'\''s me/a '' "b" $HOME `id` \ %PATH% \!x';
unsetenv DOCKER_CONTEXT;
: 'One thing
more.';
: Run this command to configure your shell: ;
: 'eval "`fleet env host1`"';
