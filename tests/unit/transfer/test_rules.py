# SPDX-License-Identifier: Apache-2.0
import pytest

from glance_tasks import exceptions
from glance_tasks.transfer import fetcher
from glance_tasks.transfer import rules


def refused(uri, **changes):
    """Give the text with which preflight refuses ``uri``."""
    guard = fetcher.GuardedFetcher(rules.FetchRules(**changes))
    with pytest.raises(exceptions.FetchError) as caught:
        guard.preflight(uri)
    assert caught.value.code == "source_not_allowed"
    return str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "http://images.example/a.img",
        "HTTPS://Images.Example/a.img?x=1",
        "http://user:secret@images.example:80/",
        "http://8.8.8.8/a",
        "http://[2606:4700:4700::1111]/a",
        "http://under_score.example/a",
        "http://images.example./a",
        "http://images.example/häßlich",
    ],
)
def test_an_ordinary_address_passes(uri):
    fetcher.GuardedFetcher().preflight(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "images.example/a",
        "ftp://images.example/a",
        "gopher://images.example/a",
        "javascript:alert(1)",
        "HTTP:/images.example/a",
        "//images.example/a",
        "http://",
        "http:///a",
        "http://images.example:99999/a",
        "http://images.example:port/a",
        "http://images.example:8080/a",
        "http://images.example:0/a",
        "http://ima ges.example/a",
        "http://images.example/a\r\nHost: evil",
        "http://images.example/\x00",
        "http://images.example\\@8.8.8.8/a",
        "http://images%2eexample/a",
        "http://-images.example/a",
        "http://bücher.example/a",
        "http://[::1/a",
        "http://[fe80::1%25eth0]/a",
        "http://[v1.x]/a",
        "http://images.example/" + "a" * rules.MAX_URI,
    ],
)
def test_an_address_that_breaks_a_rule_is_refused(uri):
    refused(uri)


@pytest.mark.parametrize("sign", ["#", "?", "/"])
def test_a_password_is_not_shown_where_a_sign_in_it_ends_the_host(sign):
    error = refused(f"http://user:s3kr1t{sign}more@images.example/a")

    assert "s3kr1t" not in str(error)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "169.254.169.254",
        "2852039166",
        "10.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1]",
    ],
)
def test_a_forbidden_address_is_found_in_whatever_form_it_is_written(host):
    text = refused(f"http://{host}/a")

    assert "not a public one" in text


def test_a_name_is_not_resolved_before_the_fetch():
    fetcher.GuardedFetcher().preflight("http://localhost/a")


def test_no_port_is_forbidden_when_none_is_listed():
    guard = fetcher.GuardedFetcher(rules.FetchRules(ports=()))

    guard.preflight("http://images.example:8080/a")


def test_a_scheme_that_is_not_listed_is_refused():
    text = refused("http://images.example/a", schemes=("https",))

    assert text == "the address begins with http; expected one of https://"


@pytest.mark.parametrize(
    "uri",
    [
        "http://user:secret@127.0.0.1/a?token=secret#secret",
        "http://user:secret@images.example:8080/a",
        "user:secret@images.example/a",
        "http:user:secret@images.example/a",
        "http://user:secret@/a",
        "http://user:secret@[::1/a",
        "ftp://user:secret@images.example/a",
    ],
)
def test_a_refusal_shows_no_credentials(uri):
    assert "secret" not in refused(uri)


def test_the_parts_of_an_address_are_told_apart():
    target = rules.FetchRules().target("https://u:p%40w@Host.example/a?b=c#d")

    assert (target.scheme, target.host, target.port) == (
        "https",
        "host.example",
        443,
    )
    assert target.resource == "/a?b=c"
    assert target.userinfo == "u:p%40w"


def test_credentials_are_not_in_the_repr_of_a_target():
    target = rules.FetchRules().target("https://u:secret@host.example/")

    assert "secret" not in repr(target.origin)
    assert "secret" not in repr(target)


@pytest.mark.parametrize(
    "changes",
    [
        {"networks": ("10.0.0.1/8",)},
        {"networks": ("everything",)},
        {"chunk_size": 1000},
    ],
)
def test_rules_that_cannot_work_are_refused(changes):
    with pytest.raises(exceptions.ConfigurationError, match="expected"):
        rules.FetchRules(**changes)


def test_a_scheme_for_which_nothing_is_installed_is_refused():
    allowed = rules.FetchRules(schemes=("http", "ftp"))

    with pytest.raises(exceptions.ConfigurationError, match="ftp"):
        fetcher.GuardedFetcher(allowed)


def test_a_scheme_that_lacks_its_library_is_refused_when_it_is_used():
    def missing(*args):
        raise ModuleNotFoundError("no module named botocore")

    allowed = rules.FetchRules(schemes=("s3",))
    guarded = fetcher.GuardedFetcher(allowed, factories={"s3": missing})

    with pytest.raises(exceptions.FetchError, match="nothing is installed"):
        guarded.preflight("s3://bucket/disk")
