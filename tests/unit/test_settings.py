"""Settings: where they come from, and that people can find out what they do."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from freshet.settings import (
    Settings,
    SettingsError,
    import_attribute,
    load,
    need_cluster,
    refuse_cluster,
)
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
        shown = "none" if default in (None, (), "") else f"`{default!s}`"
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


def test_a_cluster_has_defaults_of_its_own() -> None:
    """Servers are a list; there are more partitions, unless their number is given."""
    cluster = {"FRESHET_BOOTSTRAP_SERVERS": "one:9092, [::1]:9093"}
    settings, origins = load({}, cluster)
    assert settings.bootstrap_servers == ("one:9092", "[::1]:9093")
    assert (settings.partitions, origins["partitions"]) == (16, "default on Kafka")
    assert load({"partitions": 4}, cluster).settings.partitions == 4
    assert load({}, {}).settings.partitions == 4


def test_durations_are_what_they_say() -> None:
    """In ms or seconds, as their names say; events may be kept for good."""
    settings = load({}, {"FRESHET_EVENTS_RETENTION": "365d"}).settings
    assert settings.events_retention_ms == 365 * 86_400_000
    assert load({}, {}).settings.events_retention_ms is None
    assert settings.changelog_compaction_lag_ms == 86_400_000
    assert (settings.session_timeout_seconds, settings.append_timeout_seconds) == (10.0, 5.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bootstrap_servers": "one"}, r"^bootstrap_servers .*'one' is not of the form host:port"),
        ({"bootstrap_servers": "http://one:9092"}, "not of the form host:port"),
        ({"bootstrap_servers": "one:99999"}, "not of the form host:port"),
        ({"security_protocol": "SASL_SSL"}, r"^sasl_username \(default\): .* needs it"),
        (
            {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u"},
            r"^sasl_password \(default\): .* needs it",
        ),
        ({"sasl_username": "u"}, r"security_protocol is PLAINTEXT, which sends none"),
        ({"ssl_ca_location": "ca.pem"}, "PLAINTEXT, which has no TLS"),
        ({"security_protocol": "SSL", "ssl_ca_location": "ca.pem"}, "there is no file ca.pem"),
        ({"app_id": "a b"}, r"^app_id .*'a b' is not up to 100 letters"),
        ({"worker_id": "eins/zwei"}, r"^worker_id"),
        ({"topic_prefix": "ä-"}, r"^topic_prefix"),
        ({"events_retention": "never"}, r"^events_retention .*'never' .* nor 'forever'"),
        ({"session_timeout": "10"}, r"^session_timeout"),
        ({"replication": "2", "min_insync_replicas": "3"}, "no write could be acknowledged"),
    ],
)
def test_settings_of_a_cluster_are_checked_against_each_other(
    values: dict[str, str], message: str
) -> None:
    """What could not work is refused before a broker is asked."""
    with pytest.raises(SettingsError, match=message):
        load({}, {f"FRESHET_{name.upper()}": value for name, value in values.items()})


def test_a_password_is_in_no_message() -> None:
    """Neither where it is wrong, nor where something else is."""
    Path("freshet.toml").write_text('sasl_password = "hush hush"\n')
    with pytest.raises(SettingsError, match="sasl_password") as caught:
        load({}, {})
    assert "hush" not in str(caught.value)
    assert "hush" not in repr(Settings(sasl_password="hush"))


def test_commands_say_which_mode_they_are_for() -> None:
    """serve keeps its own log; api and worker need a cluster."""
    alone, cluster = load({}, {}), load({"bootstrap_servers": ["b:9092"]}, {})
    assert need_cluster(cluster, "freshet api").bootstrap_servers == ("b:9092",)
    assert refuse_cluster(alone, "freshet serve").bootstrap_servers == ()
    with pytest.raises(SettingsError, match=r"freshet api works on a Kafka cluster"):
        need_cluster(alone, "freshet api")
    with pytest.raises(SettingsError, match=r"\(--bootstrap-servers\): freshet serve keeps its"):
        refuse_cluster(cluster, "freshet serve")


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
