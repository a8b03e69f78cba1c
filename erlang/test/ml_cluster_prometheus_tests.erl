-module(ml_cluster_prometheus_tests).
-include_lib("eunit/include/eunit.hrl").

negotiate_test_() ->
    [
        ?_assertEqual(Expected, ml_cluster_prometheus:negotiate(Accept))
     || {Expected, Accept} <- [
            {none, <<>>},
            {none, <<"*/*">>},
            {none, <<"text/html,application/xhtml+xml,*/*;q=0.8">>},
            {none, <<"application/json">>},
            {none, <<"application/json, text/plain, */*">>},
            {none, <<"application/json, text/plain;q=0.1">>},
            {none, <<"text/plain;q=0">>},
            {none, <<"text/plain;q=much">>},
            {none, <<255>>},
            {none, <<"text/plain;q=", 255>>},
            {{ok, text}, <<255, ", text/plain;", 255, "; q=0.5">>},
            {{ok, text}, <<"text/plain">>},
            {{ok, text}, <<"TEXT/PLAIN; version=0.0.4">>},
            {{ok, text}, <<"application/json;q=0.2, text/plain;Q=0.5">>},
            {{ok, openmetrics},
                <<"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1">>}
        ]
    ].
