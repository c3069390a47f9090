"""LaTeX tables: booktabs, and text that LaTeX prints as it is."""

from striate.core.tables import latex, latex_table


def test_a_table_has_the_rules_of_booktabs_and_escaped_cells():
    text = latex_table(("Variant", "p"), [["without_norm & 50 %", "-0.5"]], {1}, "a_b")

    assert text.splitlines() == [
        r"\begin{table}",
        r"\centering",
        r"\caption{a\_b}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"Variant & p \\",
        r"\midrule",
        r"without\_norm \& 50 \% & $-$0.5 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_a_hyphen_in_a_name_stays_one():
    assert latex("resnet-20 (-0.1 to +0.2)") == "resnet-20 ($-$0.1 to +0.2)"


def test_every_sign_of_latex_is_escaped():
    assert latex(r"\{}$&%#_~^") == (r"\textbackslash{}\{\}\$\&\%\#\_\textasciitilde{}\textasciicircum{}")
