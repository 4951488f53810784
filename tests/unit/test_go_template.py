"""``--format '{{...}}'``: what docker's users type at ``inspect``, ``ps``, ``image ls`` and so on."""

from __future__ import annotations

import pytest

from minirun.cli.template import Template, lines
from minirun.errors import MinirunError

DOCUMENT = {
    "Id": "6a0766e2",
    "Name": "web",
    "State": {"Running": True, "Pid": 27553, "Error": "", "Health": None},
    "Mounts": [{"Source": "/a", "RW": True}, {"Source": "/b", "RW": False}],
    "Config": {"Env": ["A=1", "B=x y"], "Labels": {"com.example/a": "1", "b": ""}, "Cmd": None},
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]},
        "Networks": {"back": {"IPAddress": "10.5.0.2"}, "bridge": {"IPAddress": "10.90.0.2"}},
    },
}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{.State.Running}}", "true"),
        ("{{ .State.Pid }} {{.Name}}", "27553 web"),
        ("{{.ID}}", "6a0766e2"),  # capitals do not matter: podman has .ID, docker .Id
        ("pid={{.State.Pid}};", "pid=27553;"),
        ("{{json .Mounts}}", '[{"Source":"/a","RW":true},{"Source":"/b","RW":false}]'),
        ("{{.Config.Env | json}}", '["A=1","B=x y"]'),
        ("{{.Config.Env}}", '["A=1","B=x y"]'),  # Go: [A=1 B=x y], of which nobody can make a list again
        ("{{.Config.Cmd}}", "<no value>"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "10.5.0.2 10.90.0.2 "),
        ("{{range $name, $net := .NetworkSettings.Networks}}{{$name}}={{$net.IPAddress}},{{end}}",
         "back=10.5.0.2,bridge=10.90.0.2,"),
        ("{{range $i, $m := .Mounts}}{{$i}}{{$m.Source}}{{end}}", "0/a1/b"),
        ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
        ('{{index .Config.Labels "com.example/a"}}|{{index .Config.Labels "none"}}', "1|"),
        ("{{range .Mounts}}{{if .RW}}{{.Source}}{{end}}{{end}}", "/a"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else if not .State.Running}}down{{else}}up{{end}}", "up"),
        ("{{if .State.Nothing}}x{{end}}", ""),  # whether it is there is the question
        ('{{if and (eq .Name "web" "db") (gt .State.Pid 1)}}ours{{end}}', "ours"),
        ("{{with .State.Error}}{{.}}{{else}}well{{end}}", "well"),
        ('{{with $x := "a"}}{{$x}}{{$.Name}}{{end}}', "aweb"),
        ('{{$n := .Name}}{{range .Mounts}}{{$n}}{{.Source}} {{end}}', "web/a web/b "),
        ('{{join .Config.Env ","}}', "A=1,B=x y"),
        ('{{index (split "a:b" ":") 1}}{{len .Mounts}}{{.Name | upper}}{{slice .Id 0 4}}', "b2WEB6a07"),
        ("{{range .Config.Env}}{{println .}}{{end}}", "A=1\nB=x y\n"),
        ('{{printf "%-5s|%d|%q" .Name .State.Pid .Id}}', 'web  |27553|"6a0766e2"'),
        ("a {{- .Name -}} b{{/* words */}}", "awebb"),
        (r"{{.Name}}\t{{.Id}}\n", "web\t6a0766e2\n"),
        ("{{`}`}}", "}"),
    ],
)  # fmt: skip
def test_templates(template: str, said: str) -> None:
    assert Template(template).render(DOCUMENT) == said


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{.State.Runing}}", "there is no .State.Runing"),
        ("{{.Name.First}}", "there is no .Name.First"),
        ("{{range .Mounts}}", "an {{end}} is missing"),
        ("{{end}}", "without a beginning"),
        ("{{if .Name}}{{else}}{{else}}{{end}}", "without a beginning"),
        ("{{.Name", "a }} is missing"),
        ("{{}}", "an empty {{}}"),
        ("{{foo .Name}}", "there is no function foo; there are json, index"),
        ("{{.Name | }}", "nothing beside a |"),
        ("{{(.Name}}", "a ) is missing"),
        ("{{.Name)}}", "a stray ')'"),
        ("{{$x}}", "there is no variable $x"),
        ("{{.Name .Id}}", ".Name is no function"),
        ("{{len .State.Pid}}", "len does not take that"),
        ('{{printf "%d" .Name}}', "printf does not take that"),
        ("{{.Name & 1}}", "cannot read '& 1'"),
    ],
)
def test_wrong_templates_are_named(template: str, said: str) -> None:
    with pytest.raises(MinirunError) as error:
        Template(template).render(DOCUMENT)
    assert said in error.value.message
    assert error.value.exit_code == 2


def test_what_a_document_says_cannot_write_on_the_terminal() -> None:
    assert "\x1b" not in Template("{{.A}}{{println .A}}{{upper .A}}").render({"A": "\x1b[2J"})


def test_a_table_has_a_heading_of_the_members_names() -> None:
    rows = [{"ID": "1", "CreatedAt": "now"}, {"ID": "22222222222", "CreatedAt": "then"}]
    made = lines(r"table {{.ID}}\t{{.CreatedAt}}", rows, {"ID": "CONTAINER ID"})
    assert made == "CONTAINER ID   CREATED AT\n1              now\n22222222222    then\n"
    assert lines("table {{.ID}}", [], {}) == "ID\n"
    assert lines("{{.ID}}", rows, {}) == "1\n22222222222\n"
