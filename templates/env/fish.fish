{% for variable in set %}set -gx {{ variable.name | var }} {{ variable.value | fish }};
{% endfor %}{% for name in unset %}set -e {{ name | var }};
{% endfor %}{% for note in notes %}# {{ note | comment }}
{% endfor %}# Run this command to configure your shell:
# {{ command | comment }} | source
