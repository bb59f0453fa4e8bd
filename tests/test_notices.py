"""Notices reach people: on stderr, one line each."""

import io
import sys

import pytest

from common.errors import NoCervicalLevel, WrongOrientation
from common.notices import tell


def test_a_notice_is_one_line_on_stderr(capsys):
    tell("1.2.3", ["a slice is missing", "left out:\n2 localizers\r\tand a \x1b[31mreport"])
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "notice: 1.2.3: a slice is missing\nnotice: 1.2.3: left out: 2 localizers and a [31mreport\n"


def test_a_notice_clears_the_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    tell("1.2.3", ["repaired"])
    assert sys.stderr.getvalue() == "\r\x1b[Knotice: 1.2.3: repaired\n"


@pytest.mark.parametrize("error, code", [(NoCervicalLevel, 14), (WrongOrientation, 15)])
def test_codes_of_answers_that_are_none(error, code):
    assert error.exit_code == code
