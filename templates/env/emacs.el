{% for variable in set %}(setenv "{{ variable.name | var }}" {{ variable.value | elisp }})
{% endfor %}{% for name in unset %}(setenv "{{ name | var }}" nil)
{% endfor %}{% for note in notes %};; {{ note | comment }}
{% endfor %};; Run this command to configure your shell:
;; (with-temp-buffer (shell-command {{ command | elisp }} (current-buffer)) (eval-buffer))
