#!/bin/sh
# Plays the program ml_worker: called as `--name NODE --stop-with-stdin DIR', the cookie in the
# environment; ends when its standard input closes.
exec erl -noshell -hidden -name "$2" -setcookie "$ML_WORKER_COOKIE" -pa "$4" \
  -eval 'io:get_line(""), halt().'
