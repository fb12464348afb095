{% for variable in set %}setenv {{ variable.name | var }} {{ variable.value | tcsh }};
{% endfor %}{% for name in unset %}unsetenv {{ name | var }};
{% endfor %}{% for note in notes %}: {{ note | tcsh }};
{% endfor %}: Run this command to configure your shell: ;
: 'eval "`{{ command | comment }}`"';
