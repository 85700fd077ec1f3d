"""Every program of the corpus is judged right: what is dangerous is found, the rest is let be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.e2e.preflight.corpus import DANGEROUS, HARMLESS
from tests.e2e.preflight.programs import Program, running

from underpass.gatehouse.preflight.look import (
    LATE_SECONDS,
    PREFLIGHT_SECONDS,
    Looked,
    Subject,
    look,
)
from underpass.guard.preflight.openness import openness_of
from underpass.model.origin import parse_origin
from underpass.model.spec import TunnelSpec

MARKS = {"chromium": "chromium", "node": "node", "npm": "npm", "nginx": "nginx"}


def corpus(programs: tuple[Program, ...]) -> list[object]:
    return [
        pytest.param(
            program,
            id=program.name,
            marks=[getattr(pytest.mark, MARKS[each]) for each in MARKS if each in program.name],
        )
        for program in programs
    ]


async def look_at(program: Program, home: Path) -> Looked:
    async with running(program, home) as place:
        text = program.origin.format(port=place.port, home=place.home)
        spec = TunnelSpec(parse_origin(text), public=True)
        subject = Subject(
            spec.origin, spec.kind, spec.peer, openness_of(spec), None, lambda head: True
        )
        return await look(subject)


def test_the_corpus_is_large_enough():
    assert len(DANGEROUS) >= 20
    assert len(HARMLESS) >= 20
    names = [program.name for program in (*DANGEROUS, *HARMLESS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("program", corpus(DANGEROUS))
async def test_what_strangers_must_not_have_is_found(program: Program, short_path: Path):
    looked = await look_at(program, short_path)
    assert {finding.code for finding in looked.findings} == set(program.finds)
    assert looked.seconds < PREFLIGHT_SECONDS + LATE_SECONDS + 0.5


@pytest.mark.parametrize("program", corpus(HARMLESS))
async def test_what_strangers_may_have_is_let_be(program: Program, short_path: Path):
    looked = await look_at(program, short_path)
    assert looked.findings == ()
    assert looked.is_whole


async def test_an_origin_that_never_answers_is_looked_at_for_three_seconds():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        spec = TunnelSpec(parse_origin(str(port)), public=True)
        subject = Subject(
            spec.origin, spec.kind, spec.peer, openness_of(spec), None, lambda head: True
        )
        looked = await look(subject)
    assert looked.findings == ()
    assert not looked.is_whole
    assert looked.seconds == pytest.approx(PREFLIGHT_SECONDS, abs=0.5)
