"""The command that looks for what is wrong with a node."""

from typing import Final

import typer

from node.commands.common import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    ask_passphrase,
    get_home,
    print_json,
    print_line,
    quiet_logs,
)

EXIT_FAILED_CHECK: Final = 1


def doctor(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Check a node, running or stopped, from its files to its peers, and say what to do; exits 1 if a check fails."""
    import trio

    from node.lean_import import LIBP2P_PACKAGES, skip_package_code

    skip_package_code(*LIBP2P_PACKAGES)
    from node.doctor.examine import examine
    from node.doctor.findings import Level

    quiet_logs()
    findings = trio.run(examine, get_home(home), ask_passphrase)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    is_good = counts[Level.FAILURE] == 0
    if as_json:
        print_json({"ok": is_good, "findings": [finding.describe() for finding in findings]})
    else:
        for finding in findings:
            print_line(f"{finding.level:<8} {finding.check:<9} {finding.text}")
        verdict = "good" if is_good else "not good"
        print_line(f"{verdict}: {counts[Level.FAILURE]} failed, {counts[Level.WARNING]} worth a look")
    if not is_good:
        raise typer.Exit(EXIT_FAILED_CHECK)
