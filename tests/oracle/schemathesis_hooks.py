"""What no description can say: which texts a running relay knows."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    # The names of providers are in the configuration.
    if isinstance(case.body, dict) and isinstance(case.body.get("provider"), str):
        case.body["provider"] = "capture"
    # A cursor is the end of an answer, and here there was none. tests/e2e/suppressions.rs follows real ones.
    if case.operation.path == "/api/v1/suppressions" and case.query:
        case.query.pop("before", None)
