#!/usr/bin/env bash
# Tool: bio2zarr
# Version: 0.2.1
# Behaviour: the same haploid call is phased or not depending on the other calls of its record and of the file
# Seen: False for 0 beside 1, True for 0 beside 0/1; in a file of haploid calls alone, True for all
# The specification says that haploid calls are phased. cyvcf2 gives records without any diploid call the phase 0, and
# bio2zarr mends that only where no record has one. Where the file has diploid calls elsewhere, the phase of a record of
# haploid calls alone can differ from one conversion to the next: three of 30 in one long-lived process had another.
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
records = ["1 10 . A C . . . GT 0 1", "1 20 . A C . . . GT 0 0/1"]
with open("a.vcf", "w") as file:
    file.write("\n".join(head + [one.replace(" ", "\t") for one in records]) + "\n")
pysam.tabix_compress("a.vcf", "a.vcf.gz")
pysam.tabix_index("a.vcf.gz", preset="vcf")
PYTHON
"$venv/bin/vcf2zarr" convert -Q a.vcf.gz a.vcz
"$venv/bin/python" - <<'PYTHON'
import zarr

seen = zarr.open_group("a.vcz", mode="r")["call_genotype_phased"][...].tolist()
print("seen:", seen)
assert seen == [[False, False], [True, False]], "bio2zarr has it otherwise now"
PYTHON
