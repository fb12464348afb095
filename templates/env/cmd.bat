{% for variable in set %}SET "{{ variable.name | var }}={{ variable.value | cmd }}"
{% endfor %}{% for name in unset %}SET "{{ name | var }}="
{% endfor %}{% for note in notes %}REM {{ note | comment }}
{% endfor %}REM Run this command to configure your shell:
REM @FOR /f "tokens=*" %i IN ('{{ command | comment }}') DO @%i
