#!/usr/bin/env bash
# Tool: vcztools
# Version: 0.2.0
# Behaviour: floats of a VCF are written with three digits behind the point, so small p-values and qualities become 0
# Seen: QUAL 0 and AF=0 where 1e-10 is right
# The store holds the value; `view` rounds it.
set -eu
venv="$(mktemp -d)/venv"
python3 -m venv "$venv"
"$venv/bin/pip" -q install 'bio2zarr[vcf]==0.2.1' vcztools==0.2.0 pysam==0.24.1 zarr==3.1.6 numpy==2.4.6
cd "$(dirname "$venv")"
"$venv/bin/python" - <<'PYTHON'
import pysam

head = [
    "##fileformat=VCFv4.2",
    "##contig=<ID=1,length=1000>",
    '##INFO=<ID=AF,Number=A,Type=Float,Description="x">',
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
    "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT a b".replace(" ", "\t"),
]
records = ["1 10 . A C 1e-10 . AF=1e-10 GT 0/1 0/0"]
with open("a.vcf", "w") as file:
    file.write("\n".join(head + [one.replace(" ", "\t") for one in records]) + "\n")
pysam.tabix_compress("a.vcf", "a.vcf.gz")
pysam.tabix_index("a.vcf.gz", preset="vcf")
PYTHON
"$venv/bin/vcf2zarr" convert -Q a.vcf.gz a.vcz
seen="$("$venv/bin/vcztools" view -H a.vcz | cut -f 6,8 | xargs)"
stored="$("$venv/bin/python" -c 'import zarr; print(zarr.open_group("a.vcz", mode="r")["variant_quality"][0])')"
echo "stored: $stored"
echo "seen:   $seen"
[ "$stored" = "1e-10" ]
[ "$seen" = "0 AF=0" ]
