"""`kind: endpoint`, as a document writes it."""

import pytest

from tidemill.core.errors import Invalid
from tidemill.serve import EndpointKind


@pytest.mark.parametrize("app", ["chain/tide", "model/echo@v2", "release/tide@production", "sha256:" + "a" * 64])
def test_an_app_or_a_release_answers(app):
    parsed = EndpointKind().parse({"app": app}, files=None)
    assert parsed.spec == {"app": app}
    assert parsed.references == ({"app": app} if app.startswith(("chain", "model")) else {})
    assert EndpointKind().parse({"release": app}, files=None).spec == {"release": app}


@pytest.mark.parametrize(
    ("body", "where", "hint"),
    [
        ({"ap": "chain/tide"}, "ap", "Did you mean app?"),
        ({"rollout": {}}, "rollout", "Leave it out."),
        ({"app": "dataset/x"}, "app", "One of chain, agent, prompt, model, route can."),
        ({"app": 7}, "app", "Write chain/NAME."),
        ({"app": "Chain/X"}, "app", "Write kind/name"),
        ({"app": "chain/a", "release": "chain/b"}, "release", "Keep one."),
    ],
)
def test_mistakes_are_named_with_their_place(body, where, hint):
    with pytest.raises(Invalid) as error:
        EndpointKind().parse(body, files=None)
    assert error.value.problems[0].where == where
    assert error.value.problems[0].hint.startswith(hint)
