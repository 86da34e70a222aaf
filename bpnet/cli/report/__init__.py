"""The report of ``bpnet train``: one HTML file with its pictures, without scripts."""
