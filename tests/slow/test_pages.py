"""Reports in a real browser: they sort, tell, fold and print, are accessible, and ask for nothing."""

from __future__ import annotations

import re

import pytest

from tests.browser import DESKTOP, PHONE, open_all, opened, printed, resize
from tests.conftest import SMILES, reaction_rows, tiny_model_folder, write_table
from tests.test_run import chemtune

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_trees")]
MOST_PAGES = 8  # of a run on two splits, on paper
PAGE = re.compile(rb"/Type\s*/Page\b(?!s)")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of each kind of run."""
    folder = tmp_path_factory.mktemp("pages")
    model = tiny_model_folder(folder / "model")
    rows = [(s, len(s) + number % 3) for number, s in enumerate(SMILES)]
    numbers = write_table(folder / "numbers.csv", [*rows, ("nonsense", 1), rows[0]])
    classes = write_table(folder / "classes.csv", [(s, "ab"[len(s) > 9]) for s in SMILES])
    couplings = write_table(folder / "couplings.csv", reaction_rows(), "halide,amine,base,solvent,rxn,yield")
    plain = ("--target", "value", "--property-name", "chain length")
    lm = ("--model", model, "--steps", 2)
    reactions = ("--components", "halide,amine,base,solvent:name", "--target", "yield", "--yield-unit", "percent")
    runs = {
        "two splits": (
            "run",
            numbers,
            *plain,
            "--split",
            "random,scaffold",
            "--arms",
            "ridge,rf-bits,lm-head,lm-text",
            *lm,
        ),
        "ladder": (
            "run",
            numbers,
            *plain,
            "--split",
            "random,label-high,size",
            "--arms",
            "ridge,rf-bits,knn,extratrees",
        ),
        "classes": ("run", classes, "--target", "value", "--split", "random", "--arms", "ridge,rf-bits"),
        "reactions": ("run", couplings, *reactions, "--split", "random", "--arms", "popularity,onehot-rf"),
        "stress": (
            "stress",
            "negatives",
            couplings,
            *reactions[:-4],
            "--yield",
            "yield",
            "--quick",
            "--arms",
            "drfp-rf",
        ),
        "study": ("study", "learning-curve", numbers, *plain, "--arms", "ridge,rf-bits", "--quick"),
    }
    found = {}
    for name, arguments in runs.items():
        out = folder / name.replace(" ", "-")
        done = chemtune(*arguments, "--out", out, cwd=folder)
        assert done.returncode == 0, done.stderr
        found[name] = out / "report.html"
    return found


KINDS = ("two splits", "ladder", "classes", "reactions", "stress", "study")


@pytest.mark.parametrize("name", KINDS)
def test_a_page_is_accessible_and_asks_for_nothing(pages, name):
    from axe_core_python.selenium import Axe

    with opened(pages[name]) as browser:
        open_all(browser)
        found = Axe().run(browser)
        assert {"color-contrast", "image-alt"} <= {one["id"] for one in found["passes"]}
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]] == []
        assert browser.get_log("browser") == []
        assert len(browser.requested) == 1, browser.requested


@pytest.mark.parametrize("name", KINDS)
def test_a_page_fits_a_phone_and_paper(pages, name):
    with opened(pages[name], PHONE) as browser:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
        open_all(browser)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
        tall = "return [...document.querySelectorAll('td')].map(one => one.offsetHeight - 2 * one.offsetWidth)"
        assert max(browser.execute_script(tall)) < 100  # no column is squeezed to a letter a line
    with opened(pages[name]) as browser:
        assert len(PAGE.findall(printed(browser))) <= MOST_PAGES
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        width = 718  # of A4 between its margins, in pixels
        resize(browser, width, 1000)
        ends = "return [...document.querySelectorAll('table')].map(one => one.getBoundingClientRect().right)"
        open_all(browser)
        assert max(browser.execute_script(ends)) <= width


def test_a_table_is_sorted_by_a_click(pages):
    from selenium.webdriver.common.by import By

    with opened(pages["two splits"]) as browser:
        table = browser.find_element(By.CSS_SELECTOR, "table.matrix")

        def column(at):
            cells = table.find_elements(By.CSS_SELECTOR, f"tbody td:nth-child({at})")
            return [cell.get_attribute("data-key") or cell.text for cell in cells]

        heads = table.find_elements(By.CSS_SELECTOR, "thead th button")
        names = column(1)
        heads[0].click()
        assert column(1) == sorted(names, key=str.casefold)
        heads[0].click()
        assert column(1) == sorted(names, key=str.casefold, reverse=True)
        heads[2].click()
        values = list(map(float, column(3)))
        assert values == sorted(values)
        assert table.find_elements(By.CSS_SELECTOR, "thead th")[2].get_attribute("aria-sort") == "ascending"


def test_a_point_of_a_figure_tells_its_molecule(pages):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    with opened(pages["two splits"]) as browser:
        open_all(browser)
        image = browser.find_element(By.CSS_SELECTOR, "img[data-points]")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", image)
        x, y, _ = browser.execute_script("return JSON.parse(arguments[0].dataset.points)[0]", image)
        size = image.size
        at = (round((x - 0.5) * size["width"]), round((y - 0.5) * size["height"]))
        told = browser.find_element(By.ID, "told")
        assert not told.is_displayed()
        ActionChains(browser).move_to_element_with_offset(image, *at).perform()
        assert told.is_displayed()
        assert re.search(r"^line \d+: \S+\nmeasured .*, \S+ .*, error [+-]", told.text)
        corner = (3 - size["width"] // 2, 3 - size["height"] // 2)
        ActionChains(browser).move_to_element_with_offset(image, *corner).perform()
        assert not told.is_displayed()


def test_parts_open_from_the_contents(pages):
    from selenium.webdriver.common.by import By

    with opened(pages["two splits"], DESKTOP) as browser:
        parts = browser.find_elements(By.CSS_SELECTOR, "details.part")
        assert len(parts) >= 6
        assert not any(part.get_attribute("open") for part in parts)
        browser.find_element(By.LINK_TEXT, "Splits").click()
        browser.implicitly_wait(1)
        opened_now = [part for part in parts if part.get_attribute("open")]
        assert [part.get_attribute("id") for part in opened_now] == ["splits"]
        button = browser.find_element(By.CSS_SELECTOR, "nav button")
        assert button.text == "Open all"
        button.click()
        assert all(part.get_attribute("open") for part in parts)
        assert button.text == "Close all"
        button.click()
        assert not any(part.get_attribute("open") for part in parts)
