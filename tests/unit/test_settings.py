"""Settings: where they come from, and that people can find out what they do."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from freshet.settings import Settings, SettingsError, import_attribute, load
from personalization.spec import Spec

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_setting_is_documented_with_its_default() -> None:
    """docs/settings.md has one line for every setting, and no other; defaults are the real ones."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE))
    assert list(rows) == list(Settings.__struct_fields__)
    for field in msgspec.structs.fields(Settings):
        default = field.default
        shown = "none" if default in (None, ()) else f"`{default!s}`"
        assert rows[field.name] == (shown.lower() if isinstance(default, bool) else shown)


def test_flags_win_over_variables_over_the_file() -> None:
    """The first that says something wins, and it is known which one did."""
    Path("freshet.toml").write_text('port = 1\nhost = "localhost"\nsync = true\n')
    settings, origins = load(
        {"port": 3, "host": None}, {"FRESHET_PORT": "2", "FRESHET_HOST": "::1"}
    )
    assert (settings.port, settings.host, settings.sync) == (3, "::1", True)
    assert origins["port"] == "--port"
    assert origins["host"] == "FRESHET_HOST"
    assert origins["sync"] == "freshet.toml"
    assert origins["partitions"] == "default"


def test_variables_are_texts() -> None:
    """What a shell can say becomes a number, a truth, a path, a list."""
    settings = load(
        {},
        {
            "FRESHET_PORT": "9000",
            "FRESHET_SYNC": "true",
            "FRESHET_DATA": "~/data",
            "FRESHET_API_KEYS": "one, two,\nthree\tfour\n",
            "FRESHET_HOST": "",
        },
    ).settings
    assert (settings.port, settings.sync) == (9000, True)
    assert settings.data == Path.home() / "data"
    assert settings.api_keys == ("one", "two", "three", "four")
    assert settings.host == "127.0.0.1"


def test_an_unknown_name_in_the_file_is_an_error_that_names_it() -> None:
    """A misspelt setting is not silently left out."""
    Path("freshet.toml").write_text("prot = 9000\n")
    with pytest.raises(SettingsError, match=r"freshet\.toml: no setting is called 'prot'"):
        load({}, {})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("port", "many", r"port \(FRESHET_PORT\)"),
        ("port", "70000", r"port \(FRESHET_PORT\)"),
        ("partitions", "0", r"partitions \(FRESHET_PARTITIONS\)"),
        ("sync", "perhaps", r"sync \(FRESHET_SYNC\): 'perhaps' is neither true nor false"),
        ("log_level", "loud", r"log_level \(FRESHET_LOG_LEVEL\)"),
        ("decisions_retention", "1 month", r"decisions_retention \(FRESHET_DECISIONS_RETENTION\)"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_origin(
    name: str, value: str, message: str
) -> None:
    """The message says which setting is wrong, and where it was set."""
    with pytest.raises(SettingsError, match=message):
        load({}, {f"FRESHET_{name.upper()}": value})


@pytest.mark.parametrize("text", ["port = ", 'port = "9000"', "host = 1", 'data = ""'])
def test_a_wrong_file_is_refused(text: str) -> None:
    """The file is TOML with the settings' own types."""
    Path("freshet.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"freshet\.toml"):
        load({}, {})


@pytest.mark.parametrize("key", ["", " ", "a b", "a\tb", "key\n", "a\x00b", "a\x85b", "a\u00a0b"])
def test_a_key_that_nobody_could_keep_secret_or_send_is_refused(key: str) -> None:
    """An empty key would let everyone in; the message names the setting, never the key."""
    Path("freshet.toml").write_text(f"api_keys = {json.dumps(['a-good-key', key])}\n")
    with pytest.raises(
        SettingsError, match=r"^api_keys \(freshet\.toml\): a key is empty"
    ) as caught:
        load({}, {})
    assert "a-good-key" not in str(caught.value)


def test_a_variable_of_blanks_is_no_key() -> None:
    """It sets nothing, so that an address others can reach is still refused."""
    assert load({}, {"FRESHET_API_KEYS": " ,\n, "}).settings.api_keys == ()


def test_an_unknown_variable_is_an_error_with_the_nearest_name() -> None:
    """A misspelt variable is not silently left out either."""
    with pytest.raises(SettingsError, match=r"called FRESHET_API_KEY; .* FRESHET_API_KEYS"):
        load({}, {"FRESHET_API_KEY": "secret", "FRESH": "x"})


def test_a_file_that_is_named_must_be_there() -> None:
    """Only the file nobody asked for may be missing."""
    with pytest.raises(SettingsError, match="cannot be read"):
        load({}, {}, Path("other.toml"))


def test_import_paths_find_modules_here() -> None:
    """A spec may lie in the current directory."""
    Path("my_shop_spec.py").write_text(
        "from personalization.presets.marketplace import marketplace as spec\n"
    )
    assert isinstance(import_attribute("my_shop_spec:spec", Spec, "spec"), Spec)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_colon", "not of the form module:attribute"),
        ("no_such_module_at_all:spec", "cannot be imported"),
        ("json:no_such_attribute", "cannot be imported"),
        ("json:dumps", "is a function, not a Spec"),
    ],
)
def test_wrong_import_paths_are_refused(path: str, message: str) -> None:
    """The message names the setting and says what is wrong with it."""
    with pytest.raises(SettingsError, match=f"^spec: .*{message}"):
        import_attribute(path, Spec, "spec")
