#!/usr/bin/env python3
"""Writes what ansible-core 2.19 says into the case files given as arguments.

A case file is a list of groups: `vars`, then `cases`, each with a `template`, `condition` or `expression`. For each the
answer is stored as `gives: VALUE`, or `fails: undefined` / `fails: error`. A case that says `ours:` is a deviation on
purpose and is left alone. `says:` is a part of our message; where Ansible's does not have it too, that is told.
Needs: pip install 'ansible-core==2.19.*' netaddr jmespath passlib
"""
import os, sys

os.environ.update(ANSIBLE_DEPRECATION_WARNINGS="0", ANSIBLE_LOCALHOST_WARNING="0")
import yaml
from ansible._internal._datatag._tags import TrustedAsTemplate
from ansible.errors import AnsibleUndefinedVariable
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.display import Display

init_plugin_loader()
Display.warning = Display.deprecated = Display.error_as_warning = lambda *a, **k: None


def trust(v):
    if isinstance(v, str):
        return TrustedAsTemplate().tag(v)
    if isinstance(v, dict):
        return {k: trust(x) for k, x in v.items()}
    if isinstance(v, list):
        return [trust(x) for x in v]
    return v


def plain(v):
    if isinstance(v, dict):
        return {plain(k): plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    for t in (bool, int, float):
        if isinstance(v, t):
            return t(v)
    return v if v is None else str(v)


def undefined(error):
    while error is not None:
        if isinstance(error, AnsibleUndefinedVariable):
            return True
        error = error.__cause__
    return False


class Dumper(yaml.SafeDumper):
    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


def string(dumper, text):
    plain_is_safe = text.replace(" ", "").isalpha() and yaml.safe_load(text) == text and text.lower() not in ("y", "n")
    style = None if plain_is_safe else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, string)

for path in sys.argv[1:]:
    raw = open(path).read()
    head = "".join(l for l in raw.splitlines(True) if l.startswith("#"))
    groups = yaml.safe_load(raw)
    for group in groups:
        group["cases"] = [{"template": c} if isinstance(c, str) else c for c in group["cases"]]
        for case in group["cases"]:
            if "ours" in case:
                continue
            case.pop("gives", None), case.pop("fails", None)
            templar = Templar(loader=DataLoader(), variables=trust(group.get("vars") or {}))
            try:
                if "condition" in case:
                    result = templar.evaluate_conditional(trust(case["condition"]))
                elif "expression" in case:
                    result = templar.evaluate_expression(trust(case["expression"]))
                else:
                    result = templar.template(trust(case["template"]))
                case["gives"] = plain(result)
            except Exception as e:
                case["fails"] = "undefined" if undefined(e) else "error"
                if case.get("says", "") not in str(e):
                    print(f"{path}: {case['says']!r} is not in {str(e)!r}")
    with open(path, "w") as out:
        out.write(head)
        yaml.dump(groups, out, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
