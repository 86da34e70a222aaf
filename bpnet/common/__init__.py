"""What many parts of bpnet use and none of them owns: checks, options, tables, patience."""
