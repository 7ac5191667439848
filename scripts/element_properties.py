"""Write ``data/elements.csv``, the properties of the elements that features of compositions are made of.

    pip install mendeleev==1.3.0        # not needed by chemtune itself
    python scripts/element_properties.py

Values and their sources are those of mendeleev 1.3.0 (MIT; Mentel, mendeleev - a Python resource for properties of
chemical elements). A blank is a value that there is not.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

OUT = Path(__file__).resolve().parent.parent / "data" / "elements.csv"
HANDBOOK = "CRC Handbook of Chemistry and Physics, 95th edition, 2014"
# column: (attribute in mendeleev, unit, source)
TAKEN = {
    "atomic_weight": ("atomic_weight", "g/mol", "IUPAC 2013 to 2021"),
    "period": ("period", "", "periodic table"),
    "group": ("group_id", "", "periodic table; blank for lanthanoids and actinoids"),
    "mendeleev_number": ("mendeleev_number", "", "Villars et al., J. Alloys Compd. 2004"),
    "pettifor_number": ("pettifor_number", "", "Pettifor, Solid State Commun. 1984"),
    "glawe_number": ("glawe_number", "", "Glawe et al., New J. Phys. 2016"),
    "covalent_radius": ("covalent_radius_cordero", "pm", "Cordero et al., Dalton Trans. 2008"),
    "single_bond_radius": ("covalent_radius_pyykko", "pm", "Pyykko and Atsumi, Chem. Eur. J. 2009"),
    "vdw_radius": ("vdw_radius_alvarez", "pm", "Alvarez, Dalton Trans. 2013"),
    "electronegativity": ("en_pauling", "Pauling", HANDBOOK),
    "electronegativity_allen": ("en_allen", "eV", "Mann et al., J. Am. Chem. Soc. 2000"),
    "electron_affinity": ("electron_affinity", "eV", f"{HANDBOOK}; Andersen, Phys. Rep. 2004"),
    "polarizability": ("dipole_polarizability", "a.u.", "Schwerdtfeger and Nagle, Mol. Phys. 2019"),
    "density": ("density", "g/cm3", HANDBOOK),
    "heat_capacity": ("molar_heat_capacity", "J/mol/K", HANDBOOK),
    "fusion_heat": ("fusion_heat", "kJ/mol", HANDBOOK),
    "evaporation_heat": ("evaporation_heat", "kJ/mol", HANDBOOK),
    "thermal_conductivity": ("thermal_conductivity", "W/m/K", HANDBOOK),
    "miedema_electronegativity": ("en_miedema", "V", "de Boer et al., Cohesion in Metals, 1988"),
    "miedema_volume": ("miedema_molar_volume", "cm3/mol", "de Boer et al., Cohesion in Metals, 1988"),
    "miedema_density": ("miedema_electron_density", "", "de Boer et al., Cohesion in Metals, 1988"),
}
CAPACITY = {"s": 2, "p": 6, "d": 10, "f": 14}


def valence(configuration: object) -> dict[str, float]:
    """Electrons in the open shells of each kind, and how many more these could take: the s and p of the outermost
    shell, and d and f shells that are begun and not closed below it."""
    shells: dict[tuple[int, str], int] = dict(configuration.conf)  # type: ignore[attr-defined]
    outermost = max(n for n, _ in shells)
    found = {}
    for kind, room in CAPACITY.items():
        of_kind = {n: count for (n, which), count in shells.items() if which == kind}
        n = max(of_kind, default=0)
        closed_below = n < outermost and kind in "df" and of_kind.get(n) == room and (outermost, "p") in shells
        count = 0 if n == 0 or closed_below or (kind in "sp" and n != outermost) else of_kind[n]
        found[f"{kind}_electrons"] = float(count)
        found[f"{kind}_vacancies"] = float(room - count if 0 < count < room else 0)
    return found


def main() -> None:
    from mendeleev import element

    rows = []
    for number in range(1, 119):
        one = element(number)
        row = {"symbol": one.symbol, "atomic_number": number}
        row |= {name: getattr(one, attribute) for name, (attribute, _, _) in TAKEN.items()}
        row["ionization_energy"] = one.ionenergies.get(1)
        for name in ("melting_point", "boiling_point"):  # of elements with several forms, the first that has one
            values = [getattr(form, name) for form in one.phase_transitions]
            row[name] = next((value for value in values if value is not None), None)
        rows.append({**row, **valence(one.ec)})
    table = pd.DataFrame(rows)
    table.to_csv(OUT, index=False, lineterminator="\n", float_format="%.6g")
    print(table.describe().T[["count", "min", "max"]].to_string())


if __name__ == "__main__":
    main()
