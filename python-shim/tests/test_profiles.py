"""The admin's list of profiles: what it may hold, what may be chosen from it, and the form of it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from cloudspawner import form
from cloudspawner.errors import ChoiceRefused, ConfigurationError
from cloudspawner.profile_list import problems, read

BOTH = ("fargate", "azure_ml")
HOSTILE = "<script>alert('x')</script>\"&"
LISTED: list[dict[str, Any]] = [
    {
        "display_name": "Small & cheap",
        "description": HOSTILE,
        "backend": "fargate",
        "spawner_override": {"cpu": 512},
        "profile_options": {
            "image": {
                "display_name": "Image",
                "choices": {
                    "base": {"display_name": "Base", "spawner_override": {"task_definition": "base:1"}},
                    "science": {"display_name": HOSTILE, "default": True},
                },
                "unlisted_choice": {
                    "enabled": True,
                    "display_name": "Task definition",
                    "validation_regex": "lab:[0-9]+",
                    "validation_message": "lab and its revision, as lab:3",
                    "spawner_override": {"task_definition": "{value}", "tags": {"chosen": ["{value}", 7]}},
                },
            }
        },
    },
    {"display_name": "GPU", "slug": "gpu", "backend": "azure_ml", "groups": ["ml"], "default": True},
]
MENU = read(LISTED, BOTH)


def test_a_choice_is_written_out_with_the_defaults_and_what_it_overrides_in_order() -> None:
    chosen = MENU.only([]).check({"image": "base"})
    assert chosen.options == {"profile": "small-cheap", "image": "base"}
    assert chosen.overrides == [{"cpu": 512}, {"task_definition": "base:1"}]
    assert MENU.only(["ml"]).check({}).options == {"profile": "gpu"}
    assert MENU.check({"profile": "small-cheap"}).options["image"] == "science"


def test_a_text_of_ones_own_stands_where_the_admin_put_value() -> None:
    chosen = MENU.check({"profile": "small-cheap", "image--unlisted-choice": "lab:12"})
    assert chosen.overrides[1] == {"task_definition": "lab:12", "tags": {"chosen": ["lab:12", 7]}}
    assert chosen.options == {"profile": "small-cheap", "image--unlisted-choice": "lab:12"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"profile": "gpu"}, "profile 'gpu' is not offered; choose one of small-cheap"),
        ({"profile": 7}, "profile must be a string, not int"),
        ({"profile": ["small-cheap"]}, "profile must be a string, not list"),
        ({"profile": HOSTILE}, "is not offered"),
        ({"image": "x" * 100_000}, "is not offered"),
        ({"image": {}}, "image must be a string, not dict"),
        ({"size": "XL"}, "there is no option 'size' here; there is image, image--unlisted-choice, profile"),
        ({"image": "base", "image--unlisted-choice": "lab:1"}, "cannot be given with image"),
        ({"image--unlisted-choice": "lab:x"}, "Task definition: 'lab:x' is refused: lab and its revision"),
        ({"image--unlisted-choice": "lab:1\n"}, "printable characters"),
        ({"image--unlisted-choice": "{username}"}, "without braces"),
        ({"image--unlisted-choice": "x" * 257}, "at most 256"),
        ({"image--unlisted-choice": 3}, "must be a string"),
    ],
)
def test_what_is_not_offered_is_refused_with_a_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ChoiceRefused) as caught:
        MENU.only([]).check(options)
    assert said in caught.value.jupyterhub_message
    assert "<" not in caught.value.jupyterhub_html_message
    assert len(caught.value.jupyterhub_message) < 400
    assert caught.value.status_code == 400


def test_who_may_have_nothing_is_told_so() -> None:
    with pytest.raises(ChoiceRefused, match="administrator"):
        read(LISTED[1:], BOTH).only([]).check({})


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ([{"display_name": "A", "kubespawner_override": {}}], "did you mean 'spawner_override'?"),
        ([{"display_name": "A"}], "unknown backend ''"),
        ([{"display_name": "A", "backend": "azure"}], "did you mean 'azure_ml'?"),
        ([{"slug": "a", "backend": "fargate"}], "needs a display_name"),
        ([{"display_name": "A", "backend": "fargate", "groups": "ml"}], "groups must be a list"),
        ([{"display_name": 7, "backend": "fargate"}], "display_name must be a string"),
        (["A"], r"profile_list\[0\] must be a dict"),
        ("A", "must give a list"),
        ([{"display_name": "A", "backend": "fargate"}] * 2, "the slug a is there more than once"),
        ([{"display_name": "A", "backend": "fargate", "profile_options": {"x": {}}}], "needs choices"),
        (
            [{"display_name": "A", "backend": "fargate", "profile_options": {"x": {"choises": {}}}}],
            r"profile_list\[0\]: x: unknown field 'choises'; did you mean 'choices'\?",
        ),
        (
            [
                {
                    "display_name": "A",
                    "backend": "fargate",
                    "profile_options": {"x": {"unlisted_choice": {"enabled": True, "validation_regex": "("}}},
                }
            ],
            "validation_regex",
        ),
    ],
)
def test_a_mistake_in_the_list_is_told_with_its_place_and_what_was_meant(listed: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(listed, BOTH)


def test_all_mistakes_of_a_list_are_told_at_once_each_once() -> None:
    listed = [
        {"display_nam": "A", "backend": "fargat", "spawner_override": {"cpus": 1}},
        {"display_name": 7, "backend": "azure_ml", "default": "yes", "spawner_override": {"cpu": 1}},
        {
            "display_name": "C",
            "slug": "c",
            "backend": "fargate",
            "spawner_override": {"cpu": 1},
            "profile_options": {
                "image": {"default": "bas", "choices": {"base": {"spawner_override": {"taks": 1}}}},
                "size": {"default": "big", "choices": {"big": {"defalt": True}}},
                "text": {"unlisted_choice": {"enabled": True, "spawner_override": {"vm_size": "{value}"}}},
            },
        },
        {"display_name": "C", "backend": "fargate"},
        None,
    ]
    assert problems(listed, BOTH, lambda backend, name: "" if name == "cpu" else f"{backend} has no {name}") == [
        "profile_list[0]: unknown field 'display_nam'; did you mean 'display_name'?",
        "profile_list[4] must be a dict, not NoneType",
        "profile_list[0]: needs a display_name, and a slug where that has no letters or digits",
        "profile_list[0]: unknown backend 'fargat'; did you mean 'fargate'?",
        "profile_list[1]: display_name must be a string, not int",
        "profile_list[2]: image: base: spawner_override: fargate has no taks",
        "profile_list[2]: image: the default 'bas' is not among its choices; did you mean 'base'?",
        "profile_list[2]: size: big: unknown field 'defalt'; did you mean 'default'?",
        "profile_list[2]: size: the default is marked at the choice itself: 'big': {\"default\": True, …}",
        "profile_list[2]: text: unlisted_choice: spawner_override: fargate has no vm_size",
        "profile_list: the slug c is there more than once",
        "profile_list[1]: default must be True or False, not 'yes'",
    ]
    with pytest.raises(ConfigurationError, match=r"'display_nam'.*; profile_list: the slug c is there"):
        read(listed, BOTH)


def test_one_cloud_needs_no_backend_and_a_dict_of_profiles_has_its_slugs() -> None:
    menu = read({"b": {"display_name": "B"}, "a": {"display_name": "A"}}, ["fargate"])
    assert [(profile.slug, profile.backend) for profile in menu.profiles] == [("a", "fargate"), ("b", "fargate")]


class Fields(HTMLParser):
    """What a browser would send, and whether everything has its label."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.controls: list[str] = []
        self.described: list[str] = []
        self.tags: set[str] = set()
        self.checked: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "label":
            self.labels.append(given["for"])
        if tag in ("input", "select"):
            self.controls.append(given["id"])
        if "checked" in given or "selected" in given:
            self.checked.append(given["value"])
        self.described += given.get("aria-describedby", "").split()


def test_every_field_of_the_form_has_its_label_and_no_text_becomes_html() -> None:
    html = form.render(MENU, {})
    fields = Fields(html)
    assert len(set(fields.ids)) == len(fields.ids)
    assert sorted(fields.labels) == sorted(fields.controls)
    assert set(fields.described) <= set(fields.ids)
    assert {"fieldset", "legend"} <= fields.tags
    assert not fields.tags & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?:|url\(", html)
    assert "&lt;script&gt;alert" in html


def test_what_was_chosen_the_last_time_is_chosen_again_where_it_is_still_there() -> None:
    assert Fields(form.render(MENU, {})).checked == ["science", "gpu"]
    assert Fields(form.render(MENU, {"profile": "small-cheap", "image": "base"})).checked == ["small-cheap", "base"]
    before = {"profile": "small-cheap", "image--unlisted-choice": '"><b>'}
    html = form.render(MENU, before)
    assert Fields(html).checked == ["small-cheap", "unlisted-choice"]
    assert "<b>" not in html
    stale: dict[str, Any] = {"profile": ["gone"], "image": ["x"]}
    assert Fields(form.render(MENU, stale)).checked == ["science", "gpu"]


def test_the_form_gives_the_options_that_the_rest_api_takes() -> None:
    sent = {
        "profile": ["small-cheap"],
        "profile-option-small-cheap--image": ["base"],
        "profile-option-small-cheap--image--unlisted-choice": ["lab:3"],
        "_xsrf": ["x"],
    }
    assert form.read(MENU, sent) == {"profile": "small-cheap", "image": "base"}
    sent["profile-option-small-cheap--image"] = ["unlisted-choice"]
    assert form.read(MENU, sent) == {"profile": "small-cheap", "image--unlisted-choice": "lab:3"}
    sent["profile"] = ["gpu"]
    assert form.read(MENU, sent) == {"profile": "gpu"}


@pytest.mark.parametrize("sent", [{"evil": ["1"]}, {"profile": ["gpu", "small-cheap"]}, {"profile": []}])
def test_a_field_that_the_form_does_not_have_is_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(ChoiceRefused):
        form.read(MENU, sent)
