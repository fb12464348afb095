(setenv "DOCKER_HOST" "tcp://127.0.0.1:40123")
(setenv "DOCKER_CERT_PATH" "/home/it's me/a  \"b\" $HOME `id` \\ %PATH% !x")
(setenv "DOCKER_CONTEXT" nil)
;; One thing more.
;; Run this command to configure your shell:
;; (with-temp-buffer (shell-command "fleet env host1" (current-buffer)) (eval-buffer))
