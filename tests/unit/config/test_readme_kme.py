"""What the README says of a KME is a configuration that loads."""

from pathlib import Path

from gateway.config.load import load_config
from gateway.config.model import LinkSource
from tests.systemd import readme


def test_the_link_of_the_readme_loads(tmp_path: Path) -> None:
    by_hand = readme.block("[gateway]")
    start = by_hand.index("[links.fibre]")
    end = by_hand.index("[tunnels.a-b]")
    path = tmp_path / "gateway.toml"
    fetched = readme.block('source = "etsi014"')
    path.write_text(by_hand[:start] + fetched + "\n" + by_hand[end:])
    link = load_config(path).links["fibre"]
    assert link.source is LinkSource.ETSI014
    assert link.kme is not None
    assert link.kme.urls == ("https://kme.a.example",)
    assert link.kme.ca == tmp_path / "kme/ca.pem"
