"""Text that is no genome: one line that names the LIV, the gene, its value and its range."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from madstar.errors import GenomeError
from madstar.genome import Genome

SHAPE = "write 5 digits, such as 11111, or 5 numbers with dots between, such as 1.1.1.1.1"
CLASSES = "but its range is 1-34, or a number defined after a slash"
TOGETHER = "which does not go with its other genes: possible here"
BAD = {
    # Not five genes at all.
    "": "an empty genome: write five genes per LIV, such as 21211-91111",
    "   ": "an empty genome: write five genes per LIV, such as 21211-91111",
    "abcde": f"LIV 1 is 'abcde': {SHAPE}",
    "21211-2121": f"LIV 2 is '2121': {SHAPE}",
    "212111": f"LIV 1 is '212111': {SHAPE}",
    "21211-": f"LIV 2 is '': {SHAPE}",
    "21211--21211": f"LIV 2 is '': {SHAPE}",
    "21211 21211": f"LIV 1 is '21211 21211': {SHAPE}",
    "17.1.2.1": f"LIV 1 is '17.1.2.1': {SHAPE}",
    "1.1.1..1": f"LIV 1 is '1.1.1..1': {SHAPE}",
    "-1.1.1.1.1": f"LIV 1 is '': {SHAPE}",
    "1.1.1.1.+1": f"LIV 1 is '1.1.1.1.+1': {SHAPE}",
    "²1211": f"LIV 1 is '²1211': {SHAPE}",
    "٢1211": f"LIV 1 is '٢1211': {SHAPE}",
    # Genes out of range.
    "01111": f"LIV 1: gene 'class' is 0, {CLASSES}",
    "21211-101.1.1.1.1": f"LIV 2: gene 'class' is 101, {CLASSES}",
    "101.1.1.1.1/o102=12123": f"LIV 1: gene 'class' is 101, {CLASSES}",
    "20111": "LIV 1: gene 'featurizer group' is 0, but its range is 1-32",
    "2.33.1.1.1": "LIV 1: gene 'featurizer group' is 33, but its range is 1-32",
    "21311": "LIV 1: gene 'featurizer strategy' is 3, but its range is 1-2",
    "21011": "LIV 1: gene 'featurizer strategy' is 0, but its range is 1-2",
    "21201": "LIV 1: gene 'feature group' is 0, but its range is 1-32",
    "21211-2.1.1.33.1": "LIV 2: gene 'feature group' is 33, but its range is 1-32",
    "21215": "LIV 1: gene 'feature strategy' is 5, but its range is 1-4",
    # Definitions.
    "21211/": "'/' is no definition: write /o101=... for an operator or /f101=... for a featurizer",
    "21211/x18=12123": "'/x18=12123' is no definition",
    "21211/o=12123": "'/o=12123' is no definition",
    "21211/o101": "'/o101' is no definition",
    "21211/o101=": "'/o101=' is no definition",
    "21211/o²=12123": "'/o²=12123' is no definition",
    "21211/o17=12123": "'/o17=12123' defines o17, but own numbers begin at o101",
    "21211/f9=111211": "'/f9=111211' defines f9, but own numbers begin at f101",
    "101.1.1.1.1/o101=12123/o101=22123": "'/o101=22123' defines o101 a second time",
    "101.1.1.1.1/o101=12123/o0101=22123": "'/o0101=22123' defines o101 a second time",
    "21211/f101=111211/f101=111211": "'/f101=111211' defines f101 a second time",
    "101.1.1.1.1/o101=1212": "operator 101 is '1212': write 5 digits",
    "101.1.1.1.1/o101=d": "operator 101 is '': write 5 digits",
    "101.1.1.1.1/o101=101.2.1.2.3": (
        "operator 101: gene 'featurizer class' is 101, but its range is 1-9, "
        "or a number defined after a slash"
    ),
    "101.1.1.1.1/o101=15123": "operator 101: gene 'token mixing' is 5, but its range is 1-4",
    # Layers by name.
    "101.1.1.1.1/o101=@mambo": "unknown layer 'mambo' (did you mean mamba",
    "101.1.1.1.1/o101=@": "operator 101 is '@': write the name of a layer after the @",
    "101.1.1.1.1/o101=@a mixer": "operator 101 is '@a mixer': write the name of a layer after the @",
    "101.1.1.1.1/o101=@d@mamba": "operator 101 is '@d@mamba': write the name of a layer after the @",
    "101.1.1.1.1/o101=d@mamba": "operator 101 is '@mamba': write 5 digits",
    "101.1.1.1.1/o101=@mine.py:Mixer": "register the layer as an entry point of the group madstar.layers",
    "101.1.1.1.1/o101=@a/folder/mine.py:Mixer": "register the layer as an entry point",
    "101.1.1.1.1/o101=@package.module:Mixer": "'@package.module:Mixer' names a file or a module",
    "18.1.2.1.1": f"LIV 1: gene 'featurizer strategy' is 2, {TOGETHER} 1",
    "18.1.1.1.2": f"LIV 1: gene 'feature strategy' is 2, {TOGETHER} 1",
    "35.1.1.1.1": f"LIV 1: gene 'class' is 35, {CLASSES}",
    "101.1.1.1.1/o101=12323": "operator 101: gene 'sparsity' is 3, but its range is 1-2",
    "101.1.1.1.1/o101=12153": "operator 101: gene 'nonlinearity' is 5, but its range is 1-4",
    "101.1.1.1.1/o101=12124": "operator 101: gene 'channel mixing' is 4, but its range is 1-3",
    "21211/f101=11121": "featurizer 101, feature group 1 is '11121': write 6 digits, such as 111111",
    "21211/f101=111211+": "featurizer 101, feature group 2 is '': write 6 digits",
    "21211/f101=111211+211211": "feature group 2: gene 'token mixing' is 2, but its range is 1, 3",
    "21211/f101=131211": "featurizer 101, feature group 1: gene 'sparsity' is 3, but its range is 1-2",
    "21211/f101=112211": "feature group 1: gene 'nonlinearity' is 2, but its range is 1, 3, 4",
    "21211/f101=111411": "featurizer 101, feature group 1: gene 'channel mixing' is 4, but its range is 1-3",
    "21211/f101=111251": "gene 'expansion' is 5, but its range is 1, 2, 3, 4, 7, 8, 15, 16",
    "21211/f101=111213": "gene 'repeat' is 3, but its range is 1, 2, 4, 8",
    # Featurizers of another kind of operator.
    "101.1.1.1.1/o101=52123": "featurizer class 5 has 4 feature groups, but token mixing 2 needs 3: q, k, v",
    "101.1.1.1.1/o101=11141": "class 1 has 3 feature groups, but token mixing 1 needs 2: gate, value",
    "101.1.1.1.1/o101=101.2.1.2.3/f101=111211": "featurizer class 101 has 1 feature groups",
    # Genes that do not go together.
    "101.1.1.1.1/o101=73121": f"LIV 1: gene 'nonlinearity' is 2, {TOGETHER} 1, 3, 4",
    "21211-101.1.1.1.1/o101=54121": f"LIV 2: gene 'nonlinearity' is 2, {TOGETHER} 1, 3, 4",
    "101.1.1.1.1/o101=54112": f"LIV 1: gene 'channel mixing' is 2, {TOGETHER} 1, 3",
    "101.1.1.1.1/o101=91142/o102=91141-": "operator 102 is '91141-'",
    "101.1.1.1.1/o101=73211": f"LIV 1: gene 'sparsity' is 2, {TOGETHER} 1",
    "101.1.1.1.1/o101=101.2.1.2.3/f101=111211+111212+111211": (
        "LIV 1: gene 'repeat' of v is 1, which does not go with its other genes: possible here 2"
    ),
    "101.1.1.1.1/o101=101.4.1.1.1/f101=111221+111241+111311+111211": (
        "LIV 1: gene 'expansion' of c is 2, which does not go with its other genes: possible here 4"
    ),
    "91113": f"LIV 1: gene 'feature strategy' is 3, {TOGETHER} 1, 2",
    # Sharing.
    "21211-31211": "LIV 2: gene 'featurizer group' is 1, but LIVs of another class share in that group",
    "11112-11111-21112": "LIV 3: gene 'feature group' is 1, but LIVs of another class share in that group",
    "11112-11113": f"LIV 2: gene 'feature strategy' is 3, {TOGETHER} 1, 2",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_text(text: str) -> None:
    with pytest.raises(GenomeError) as caught:
        Genome.parse(text)
    assert BAD[text] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_group_of_another_class_says_what_may_be_done() -> None:
    with pytest.raises(GenomeError) as caught:
        Genome.parse("21211-31211")
    assert str(caught.value).endswith("choose another of 1-32, or featurizer strategy 1")
    assert str(Genome.parse("21211-32211")) == "21211-32211"
    assert str(Genome.parse("21211-31111")) == "21211-31111"


def test_a_very_long_number_is_a_genome_error_too() -> None:
    digits = "1" * 5000
    for text in (f"{digits}.1.1.1.1", f"21211/o{digits}=12123", f"21211/f{digits}=111211"):
        with pytest.raises(GenomeError) as caught:
            Genome.parse(text)
        assert len(str(caught.value)) < 400


def check(text: str) -> None:
    """Either a genome that can be written and read again, or an error of one line."""
    try:
        genome = Genome.parse(text)
    except GenomeError as error:
        said = str(error).splitlines()
    else:
        said = [""]
        assert Genome.parse(str(genome)) == genome
    assert len(said) == 1


ALPHABET = st.sampled_from("0123456789.-/+=odf \n\t²é")


@settings(max_examples=500)
@given(st.text(ALPHABET, max_size=40) | st.text(max_size=20))
@example("2121\n1")
@example("21211/o101=\n2123")
@example("21211/\n")
@example("21211/\r18=1")
def test_any_text_is_a_genome_or_a_one_line_error(text: str) -> None:
    check(text)


@settings(max_examples=300)
@given(
    st.sampled_from(
        ["21211-31112-21221-32112", "101.1.1.1.1-91111/o101=d101.2.1.1.3/f101=111211+324212+111212"]
    ),
    st.data(),
)
def test_one_wrong_character_is_a_genome_or_a_one_line_error(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text)))
    inserted = data.draw(st.text(ALPHABET, max_size=2))
    dropped = data.draw(st.integers(0, 2))
    changed = text[:place] + inserted + text[place + dropped :]
    check(changed)
