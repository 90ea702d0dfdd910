#!/usr/bin/env bash
# Tool: bio2zarr and vcztools
# Version: 0.2.1 and 0.2.0
# Behaviour: a region query of a small contig leaves out records that lie in it
# Seen: position 110 where 110 and 120 are right
# bio2zarr stores positions in the narrowest type that holds them, here int8; vcztools adds the record's length to them
# in that type, and 120 + 10 is beyond it. The same happens below 32,768, with int16.
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
records = [f"1 {at} . ACGTACGTAC A . . . GT 0/1 0/0" for at in (10, 60, 110, 120)]
with open("a.vcf", "w") as file:
    file.write("\n".join(head + [one.replace(" ", "\t") for one in records]) + "\n")
pysam.tabix_compress("a.vcf", "a.vcf.gz")
pysam.tabix_index("a.vcf.gz", preset="vcf")
PYTHON
"$venv/bin/vcf2zarr" convert -Q a.vcf.gz a.vcz
seen="$("$venv/bin/vcztools" view -H -r 1:115-125 a.vcz | cut -f 2 | xargs)"
right="$("$venv/bin/python" -c 'import pysam; print(*[r.pos for r in pysam.VariantFile("a.vcf.gz").fetch("1", 114, 125)])')"
echo "right: $right"
echo "seen:  $seen"
[ "$right" = "110 120" ]
[ "$seen" = "110" ]
