"""Every alert has its section, and every command that the page tells somebody to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import ibkr_assets
from ibkr_assets.domain.alert import SEVERITIES, AlertCode, Severity
from ibkr_assets_tests.docs.pages import refuse_unknown_commands

PAGE = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
_WORDS = {Severity.PAGE: "*Page.*", Severity.WARNING: "*Warning.*", Severity.INFO: "*Digest.*"}


def sections() -> dict[str, str]:
    found = re.split(r"(?m)^### ", PAGE.split("\n## Alerts\n")[1].split("\n## ")[0])[1:]
    return {section.partition("\n")[0].strip(): section.partition("\n")[2].strip() for section in found}


def test_the_sections_are_the_closed_list_of_codes_in_its_order() -> None:
    assert list(sections()) == [code.value for code in AlertCode]


def test_every_code_has_a_writer_in_the_product() -> None:
    """By its name where an alert is made, or by its word where the watchdog tells or the ledger gives rise to it."""
    package = Path(ibkr_assets.__file__).parent
    modules = [path for path in package.rglob("*.py") if path.name != "alert.py" and "migrations" not in path.parts]
    code = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    named = set(re.findall(r"(?<!settle\()(?<!settle_one\()(?<!_end\()(?<!add\()AlertCode\.([A-Z_]+)", code))
    tellers = [*(package / "execution").glob("*.py"), package / "adapters/postgres/alert_sources.py"]
    words = set(re.findall(r"[\"']([a-z_]+)[\"']", "\n".join(path.read_text(encoding="utf-8") for path in tellers)))
    assert [one.value for one in AlertCode if one.name not in named and one.value not in words] == []


def test_each_says_how_urgent_it_is_what_it_means_and_what_to_do() -> None:
    for code, text in sections().items():
        assert text.startswith(_WORDS[SEVERITIES[AlertCode(code)]]), code
        assert len(text.split("\n\n")[0]) > 60, code
        if code != AlertCode.TEST:
            assert re.search(r"(?m)^1\. ", text), f"{code}: what to do first"


def test_every_command_on_the_page_exists_with_its_options() -> None:
    written = " ".join(PAGE.split())
    typed = re.findall(r"`ibkr-assets ([^`]+)`", written)
    assert len(typed) > 30
    refuse_unknown_commands(typed)
