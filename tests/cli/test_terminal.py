"""On a terminal: a line of progress, results and errors that a person reads, and a question before anything is removed."""

import json
from pathlib import Path

import pytest

from support import ask, by_hand, program
from support.emulator import Emulator


@pytest.fixture
def place(tmp_path: Path) -> list[str]:
    """The flags that say where."""
    return ["--backend", "fargate", "--config", by_hand.settings(tmp_path, "config", ask.config())]


def shown(emulator: Emulator, *arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what is on the screen at its end."""
    with by_hand.Terminal(emulator.env(), *arguments) as terminal:
        return terminal.ends()


def test_a_start_shows_its_progress_and_then_where_the_server_is(emulator: Emulator, place: list[str]) -> None:
    code, text = shown(emulator, "start", *place, "--user", "ada")
    assert code == 0
    progress, _, last = text.rpartition("\r\x1b[K")
    assert last == "Running at http://127.0.0.1:8888\n"
    assert " 90%  The server is running" in progress
    assert "\n" not in progress, "one line that is written over"
    assert "{" not in text


def test_json_is_written_on_a_terminal_where_it_is_asked_for(emulator: Emulator, place: list[str]) -> None:
    code, text = shown(emulator, "check", *place, "--json")
    lines = [line for line in text.splitlines() if line.startswith("{")]
    assert (code, json.loads(lines[-1])["type"]) == (0, "result")


def test_an_error_tells_what_why_and_what_to_do(emulator: Emulator, place: list[str]) -> None:
    emulator.fault("ListTasks", "access_denied", count=None)
    code, text = shown(emulator, "gc", *place, "--hub", "prod")
    assert code == 1
    assert text.startswith("Error: ecs:ListTasks: AccessDeniedException")
    assert "  code: permission_denied (ecs:ListTasks, AccessDeniedException" in text
    assert "  hint: Give these credentials the permission" in text


def test_a_request_that_is_typed_is_answered_for_a_person(emulator: Emulator) -> None:
    request = json.dumps({"v": 1, "params": {"backend": "fargate", "config": ask.config()}})
    with by_hand.Terminal(emulator.env(), "check") as terminal:
        terminal.shows("reading one JSON request from stdin")
        terminal.types(request + "\n")
        code, text = terminal.ends()
    assert code == 0
    assert "ok    list tasks in notebooks: 0 tasks run" in text


def test_checks_are_lines_with_hints(emulator: Emulator, tmp_path: Path) -> None:
    file = by_hand.settings(tmp_path, "config", ask.config(run_task=ask.run_task(networkConfiguration=None)))
    _, text = shown(emulator, "check", "--backend", "fargate", "--config", file)
    assert "ok    config: every field is known" in text
    assert "FAIL  run_task: config.run_task.networkConfiguration" in text
    assert "      hint: Fargate needs at least one subnet." in text


def test_a_list_is_a_table(emulator: Emulator, place: list[str]) -> None:
    program.run("start", ask.start(), emulator.env())
    _, text = shown(emulator, "list", *place, "--hub", "prod")
    head, row = text.splitlines()
    assert head.split() == ["BACKEND", "PHASE", "AGE", "USER", "SIZE", "TAGS", "REF"]
    assert row.startswith("fargate  running  ")
    assert row.index("ada") == head.index("USER")
    assert shown(emulator, "list", *place, "--hub", "none")[1] == "The hub has nothing there\n"


def test_where_a_look_failed_nobody_is_told_that_nothing_is_there(emulator: Emulator, tmp_path: Path) -> None:
    file = by_hand.settings(tmp_path, "config", ask.config(clusters=["notebooks", "elsewhere"]))
    for command, reassured in (("list", "nothing there"), ("gc", "Nothing is stale")):
        code, text = shown(emulator, command, "--backend", "fargate", "--config", file, "--hub", "prod")
        assert (code, reassured in text) == (0, False)
        assert text.startswith("Error: ecs:ListTasks: ClusterNotFoundException")
    _, text = shown(emulator, "check", "--backend", "fargate", "--config", file)
    assert text.count("hint: See that the name is right, and the region and the account.") == 3


def test_a_warning_takes_the_place_of_the_progress(emulator: Emulator, place: list[str]) -> None:
    emulator.fault("RunTask", "access_denied", count=None)
    _, text = shown(emulator, "start", *place, "--user", "ada")
    assert "is being requested\r\x1b[K20" in text, "the log's line begins with its date"


def test_hostile_text_moves_no_cursor(emulator: Emulator, place: list[str]) -> None:
    environment = {"JUPYTERHUB_USER": "\x1b]0;owned\x07ada\x1b[2J"}
    program.run("start", ask.start(spec=ask.spec(env=environment)), emulator.env())
    emulator.write(emulator.tasks()[0], "\x1b[31mred\x1b[0m\x07 \x9b2J<script>")
    _, text = shown(emulator, "logs", *place, "--user", "ada", "--hub", "prod")
    assert text.endswith("  red 2J<script>\n")
    for shows in (text, shown(emulator, "list", *place, "--hub", "prod")[1]):
        assert not set(shows) & set("\x1b\x07\x9b")


def gc(emulator: Emulator, place: list[str], *arguments: str) -> by_hand.Terminal:
    """A gc on a terminal, whatever the servers' age."""
    return by_hand.Terminal(emulator.env(), "gc", *place, "--hub", "prod", "--min-age", "0", *arguments)


def test_gc_shows_its_plan_and_removes_it_where_the_person_says_so(emulator: Emulator, place: list[str]) -> None:
    for user in ("a", "b", "c"):
        program.run("start", ask.start(server=ask.server(user)), emulator.env())
    flags = ["--keep", "a", "--keep", "b"]
    with gc(emulator, place, *flags) as terminal:
        terminal.shows("Remove these 1? [y/N] ")
        assert terminal.text.startswith("AGE")
        terminal.types("n\n")
        code, text = terminal.ends()
    assert (code, len(emulator.alive())) == (0, 3)
    assert text.endswith("Nothing was removed.\n")
    with gc(emulator, place, *flags) as terminal:
        terminal.shows("[y/N] ")
        terminal.types("y\n")
        code, text = terminal.ends()
    assert (code, len(emulator.alive())) == (0, 2)
    assert "Removed 1:" in text


def test_what_became_stale_after_the_question_stays(emulator: Emulator, place: list[str]) -> None:
    for user in ("a", "b", "c"):
        program.run("start", ask.start(server=ask.server(user)), emulator.env())
    with gc(emulator, place, "--keep", "a", "--keep", "b", "--force") as terminal:
        terminal.shows("[y/N] ")
        program.run("start", ask.start(server=ask.server("late")), emulator.env())
        terminal.types("yes\n")
        assert terminal.ends()[0] == 0
    assert len(emulator.alive()) == 3


def test_gc_asks_nothing_where_nothing_is_stale_and_nothing_with_yes(emulator: Emulator, place: list[str]) -> None:
    with gc(emulator, place) as terminal:
        assert terminal.ends() == (0, "Nothing is stale\n")
    program.run("start", ask.start(), emulator.env())
    with gc(emulator, place, "--yes", "--force") as terminal:
        code, text = terminal.ends()
    assert (code, "Remove these" in text, emulator.alive()) == (0, False, [])


def test_an_interrupted_question_removes_nothing(emulator: Emulator, place: list[str]) -> None:
    program.run("start", ask.start(), emulator.env())
    with gc(emulator, place, "--force") as terminal:
        terminal.shows("[y/N] ")
        terminal.interrupt()
        code, _ = terminal.ends()
    assert (code, len(emulator.alive())) == (0, 1)


def test_an_interrupted_start_is_cleaned_up(place: list[str]) -> None:
    with Emulator(delays="provisioning=600000") as emulator:
        with by_hand.Terminal(emulator.env(), "start", *place, "--user", "ada") as terminal:
            terminal.shows("Task accepted")
            terminal.interrupt()
            code, text = terminal.ends()
        assert code == 1
        assert "code: cancelled" in text
        assert emulator.alive() == []


def test_a_dry_run_is_readable(emulator: Emulator, place: list[str]) -> None:
    code, text = shown(emulator, "start", *place, "--user", "ada", "--dry-run")
    assert code == 0
    first, *_ = text.splitlines()
    assert first == f"made      POST {emulator.url}/ ListTasks"
    assert f"not made  POST {emulator.url}/ RunTask" in text
    assert '            "taskDefinition": "notebook"' in text
    assert text.splitlines()[-1].startswith("It ends here: ")
