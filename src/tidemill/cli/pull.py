"""`tidemill pull`: registry changes into the project's files."""

from __future__ import annotations

from tidemill.cli.failures import report
from tidemill.cli.figures import counted
from tidemill.cli.options import DEFAULTS, Options, open_client
from tidemill.cli.plan import print_notes
from tidemill.cli.screen import clean, note, paint, say, say_json
from tidemill.core.errors import Conflict, Denied, Invalid, NotFound


async def pull(*refs: str, theirs: bool = False, dry_run: bool = False, options: Options = DEFAULTS) -> int:
    """Write what was changed in the registry into the project's files. Comments, order and quotes stay.

    What was changed in both is refused, and nothing is written.

    :param refs: Only these, as in prompt/answer; all when it is left out.
    :param theirs: Take the registry's where the files were changed too.
    :param dry_run: Show what would be written.
    """
    async with open_client(options) as client:
        try:
            done = await client.pull(refs, theirs=theirs, dry_run=dry_run)
        except (Invalid, Conflict, NotFound, Denied) as error:
            code = report(error)
            note("nothing was written")
            return code
    notes = done.get("notes", ())
    if options.json:
        say_json(done)
        return 1 if notes else 0
    changes = done.get("changes", ())
    for path in dict.fromkeys(each.get("path", "") for each in changes):
        say(path)
        for each in changes:
            if each.get("path") == path:
                is_new = each.get("action") == "create"
                sign = paint("+", "good") if is_new else paint("~", "unsure")
                versions = [str(label) for label in (each.get("files"), each.get("registry")) if label]
                say(clean(f"  {sign} {each.get('ref', ''):<34} {' -> '.join(versions)}").rstrip())
    others = [each for each in done.get("written", ()) if each not in {change.get("path") for change in changes}]
    for each in others:
        say(paint(f"  with {clean(each)}", "quiet"))
    if not changes:
        say("nothing to pull")
    elif dry_run:
        say(f"would write {counted(len(done.get('written', ())), 'file')}")
    else:
        say(f"{'Next':<10}tidemill plan    shows what uses them and is still made of the old ones")
    print_notes(notes)
    return 1 if notes else 0


COMMAND = pull
