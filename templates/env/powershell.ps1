{% for variable in set %}$Env:{{ variable.name | var }} = {{ variable.value | powershell }}
{% endfor %}{% for name in unset %}Remove-Item -ErrorAction SilentlyContinue Env:{{ name | var }}
{% endfor %}{% for note in notes %}# {{ note | comment }}
{% endfor %}# Run this command to configure your shell:
# & {{ command | comment }} | Invoke-Expression
