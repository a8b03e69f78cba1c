-module(ml_cluster_config_tests).
-include_lib("eunit/include/eunit.hrl").

check(Env) -> ml_cluster_config:check(Env).

defaults_test() ->
    ?assertMatch(
        {ok, #{
            workers := [],
            prefixes := [<<"gpu">>, <<"worker">>],
            strategy := round_robin,
            retries := 2,
            default_timeout_ms := 30000,
            suspect_after_ms := 2000,
            mix_numerics := false,
            http := #{ip := {127, 0, 0, 1}, port := 8080, required := false},
            local_worker := false
        }},
        check([])
    ).

good_test_() ->
    Program = os:find_executable("sh"),
    [
        ?_assertMatch({ok, _}, check([Item]))
     || Item <- [
            {workers, ['a@b.c', "d@10.0.0.7", <<"e@f">>]},
            {hosts, ["gpu-1.example.com", {10, 0, 0, 7}, localhost]},
            {prefixes, ["gpu", <<"w">>, x]},
            {strategy, consistent},
            {retries, 0},
            {mix_numerics, true},
            {events, {ml_cluster_event, emit}},
            {events, fun(_, _, _) -> ok end},
            {http, false},
            {http, #{port => 0}},
            {http, [{ip, "127.0.0.1"}, {port, 80}]},
            {http, #{ip => {0, 0, 0, 0}, allow_anonymous => true}},
            {local_worker, #{program => Program, args => ["--model", <<"x">>]}},
            {limits, #{body_bytes => 1000}}
        ]
    ].

wrong_test_() ->
    [
        ?_assertMatch({error, {bad_config, Key, What, _}} when is_binary(What), check([Item]))
     || {Key, Item} <- [
            {worker, {worker, []}},
            {workers, {workers, ['nohost']}},
            {workers, {workers, "a@b"}},
            {workers, {workers, ['a@b' | c]}},
            {http, {http, [{port, 1} | x]}},
            {workers, {workers, ["a@b c"]}},
            {hosts, {hosts, [7]}},
            {prefixes, {prefixes, [""]}},
            {strategy, {strategy, random}},
            {retries, {retries, -1}},
            {retries, {retries, "2"}},
            {default_timeout_ms, {default_timeout_ms, 0}},
            {suspect_after_ms, {suspect_after_ms, 1}},
            {http, {http, true}},
            {{http, port}, {http, #{port => 70000}}},
            {{http, prot}, {http, #{prot => 80}}},
            {mix_numerics, {mix_numerics, sometimes}},
            {events, {events, {ml_cluster_event, emits}}},
            {events, {events, fun(_) -> ok end}},
            {{http, required}, {http, #{required => false}}},
            {{http, ip}, {http, #{ip => "here"}}},
            {{http, ip}, {http, #{ip => "0.0.0.0"}}},
            {{http, allow_anonymous}, {http, #{allow_anonymous => yes}}},
            {api_keys_file, {api_keys_file, 7}},
            {local_worker, {local_worker, true}},
            {{local_worker, program}, {local_worker, #{}}},
            {{local_worker, program}, {local_worker, #{program => "/no/such/program"}}},
            {{limits, body_bytes}, {limits, #{body_bytes => 0}}},
            {{limits, body}, {limits, #{body => 1}}}
        ]
    ].
