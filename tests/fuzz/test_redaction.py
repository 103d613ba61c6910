# SPDX-License-Identifier: Apache-2.0
"""A secret in a text is taken out, whatever stands around it."""

import string

import hypothesis
from hypothesis import strategies as st

from glance_tasks import redaction
from tests.support import fuzzing

WORD = string.ascii_letters + string.digits
#: Begins and ends every secret; nothing else here has it.
CANARY = "Zq9"


def secrets(signs):
    """Draw a secret of letters, digits and such signs."""
    inner = st.text(WORD + signs, min_size=6, max_size=40)
    return inner.map(lambda text: f"{CANARY}{text}{CANARY}")


# What may stand in a value unquoted, as whoever made it would have written.
TOKEN = secrets("._~+/=-")
PASSWORD = secrets("!$&()*+,;=:@._~%-'\"<>^`{|}[]")
# Longer than what is looked at behind a limit.
LONG = st.integers(0, 9000).map(lambda n: f"{CANARY}{'b' * n}{CANARY}")
names = st.text(WORD, max_size=8)


def told(form, *drawn):
    return st.builds(form.format, *drawn)


carriers = st.one_of(
    told("http://{}:{}@host/path", names, PASSWORD),
    told("swift+https://{}@host:80", PASSWORD),
    told("http://user:{}@host:80", LONG),
    told("//{}:{}@host", names, PASSWORD),
    told("https://h/x?a=1&X-Amz-Signature={}", TOKEN),
    told("https://h/x?temp_url_sig={}&temp_url_expires=1", TOKEN),
    told("https://h/x?sv=1&sig={}", TOKEN),
    told("https://h/x?token={}#f", TOKEN),
    told("Authorization: Bearer {}", TOKEN),
    told("authorization: basic {}", TOKEN),
    told("Authorization: AWS {}:{}", names, TOKEN),
    told("Proxy-Authorization: Token {}", TOKEN),
    told("'Authorization': 'Token {}'", TOKEN),
    told('"Authorization": "Digest {}"', TOKEN),
    told('Authorization: Digest username="{}", response="{}"', names, TOKEN),
    told("Cookie: a={}; session={}", names, TOKEN),
    told("Set-Cookie: session={}; Path=/", TOKEN),
    told("X-Auth-Token: {}", TOKEN),
    told("'X-Subject-Token': '{}'", TOKEN),
    told("X-Auth-Key: {}", TOKEN),
    told("password={}", TOKEN),
    told("'password': '{}'", TOKEN),
    told('{{"auth_token": "{}"}}', TOKEN),
)
noise = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            *(" ", "\n", ", ", "'", '"', "\\n", "x", "9", "-", "://", "@"),
            *("Authorization", "http://", "password", "?sig=", "\0", "\ud800"),
        ]
    ),
).filter(lambda text: CANARY not in text)
texts = st.lists(st.tuples(noise, carriers, noise), min_size=1, max_size=4)


def joined(pieces):
    """Write the carriers one after another, each on a line of its own.

    Within a line what stands before may take a carrier for its value.
    """
    return "\n".join("".join(piece) for piece in pieces)


@fuzzing.examples(1000)
@hypothesis.given(texts)
def test_no_secret_survives(pieces):
    once = redaction.redact(joined(pieces))

    assert CANARY not in once


@fuzzing.examples(1000)
@hypothesis.given(noise, carriers, noise)
def test_what_is_redacted_stays_as_it_is(before, carrier, after):
    # Of two quoted keys in a text mask_password takes away more each time.
    hypothesis.assume(not set(before + after) & set("'\""))

    once = redaction.redact(before + carrier + after)

    assert redaction.redact(once) == once


@fuzzing.examples(1000)
@hypothesis.given(texts, st.integers(1, 400), st.integers(0, 400))
def test_no_secret_survives_being_cut_short(pieces, limit, padding):
    text = "x" * padding + joined(pieces)

    kept = redaction.clean(text, limit)

    assert CANARY not in kept
    assert len(kept) <= limit + 4
    assert "\0" not in kept
    kept.encode()


@fuzzing.examples(1000)
@hypothesis.given(
    st.one_of(
        st.text(),
        told("http://{}:{}@h/a?sig={}#{}", names, PASSWORD, TOKEN, TOKEN),
        told("https://{}@h:80?{}", PASSWORD, TOKEN),
        told("{}://h/a;b?{}", st.text(max_size=5), TOKEN),
    )
)
def test_an_address_that_may_be_shown_holds_no_secret(uri):
    assert CANARY not in redaction.plain_uri(uri)
