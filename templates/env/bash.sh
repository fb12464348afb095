{% for variable in set %}export {{ variable.name | var }}={{ variable.value | bash }};
{% endfor %}{% for name in unset %}unset {{ name | var }};
{% endfor %}{% for note in notes %}# {{ note | comment }}
{% endfor %}# Run this command to configure your shell:
# eval $({{ command | comment }})
