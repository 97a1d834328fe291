"""The pages on using a network and on the doctor: their tables have the rows of the code."""

import re
from pathlib import Path

import archsieve
from archsieve.models.diagnostics.run_checks import CHECKS
from archsieve.models.export.device_formats import DEVICE_FORMATS
from archsieve.models.export.formats import FORMATS
from archsieve.models.export.variants import VARIANTS

DOCS = Path(archsieve.__file__).parent / "docs"


def test_every_check_format_and_form_is_explained():
    doctor, use = ((DOCS / page).read_text(encoding="utf-8") for page in ("doctor.md", "use_a_network.md"))
    assert re.findall(r"^\| `([a-z][a-z0-9]*)` \|", doctor, re.MULTILINE) == list(CHECKS)
    assert re.findall(r"^\| `([a-z][a-z-]*)` \|", use, re.MULTILINE) == [*FORMATS, *VARIANTS]
    devices = (DOCS / "devices.md").read_text(encoding="utf-8").partition("### Formats")[2].partition("###")[0]
    assert re.findall(r"^\| `([a-z][a-z0-9-]*)` \|", devices, re.MULTILINE) == list(DEVICE_FORMATS)
