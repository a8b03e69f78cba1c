-module(ml_cluster_failure_tests).
-include_lib("eunit/include/eunit.hrl").

reasons_are_the_workers_own_test_() ->
    [
        ?_assertEqual(Expected, ml_cluster_failure:reason(Raised, n@h))
     || {Raised, Expected} <- [
            {{error, {exception, {overloaded, 5}, []}}, {overloaded, 5}},
            {{error, {erpc, noconnection}}, {worker_lost, n@h}},
            {{exit, {signal, noconnection}}, {worker_lost, n@h}},
            {{error, {erpc, timeout}}, deadline_exceeded},
            {{exit, {signal, killed}}, {worker_failed, n@h, killed}},
            {{throw, ball}, {worker_failed, n@h, ball}}
        ]
    ].

verdicts_test_() ->
    [
        ?_assertEqual(Verdict, ml_cluster_failure:verdict(Reason))
     || {Verdict, Reason} <- [
            {final, {bad_argument, texts, <<"x">>}},
            {final, {too_large, texts, 2, 1}},
            {final, {too_long, 1, 600, 512}},
            {final, deadline_exceeded},
            {refused, {overloaded, 1}},
            {refused, {unknown_model, <<"m">>}},
            {refused, undef},
            {draining, draining},
            {failed, {model_failed, <<"m">>, <<"x">>}},
            {failed, {unhealthy, <<"x">>}},
            {failed, {worker_lost, n@h}}
        ]
    ].

outcomes_test_() ->
    [
        ?_assertEqual(Outcome, ml_cluster_failure:outcome(Result))
     || {Outcome, Result} <- [
            {answered, {ok, x}},
            {rejected, {error, {bad_argument, texts, <<"x">>}}},
            {refused, {error, {overloaded, 1}}},
            {refused, {error, draining}},
            {failed, {error, {worker_lost, n@h}}},
            {late, {error, deadline_exceeded}},
            {cancelled, {error, cancelled}}
        ]
    ].

a_bug_is_told_without_what_was_sent_test() ->
    Stack = [{m, f, [<<"a secret">>, x], []}, {m, g, 1, [{line, 7}]}],
    ?assertEqual(
        {error, undef, [{m, f, 2}, {m, g, 1}]}, ml_cluster_failure:bug(error, undef, Stack)
    ),
    ?assertEqual({error, badmatch, []}, ml_cluster_failure:bug(error, {badmatch, <<"a secret">>}, [])),
    ?assertEqual({throw, other, []}, ml_cluster_failure:bug(throw, <<"a secret">>, [])).

the_most_telling_reason_is_given_test() ->
    Final = fun ml_cluster_failure:final/1,
    ?assertEqual({overloaded, 3}, Final([draining, {overloaded, 9}, {overloaded, 3}])),
    ?assertEqual({worker_lost, a}, Final([{unknown_model, <<"m">>}, {worker_lost, a}])),
    ?assertEqual({model_failed, m, x}, Final([{worker_lost, a}, {model_failed, m, x}])),
    ?assertEqual(
        {bad_argument, dimensions,
            <<"expected an option that a worker names in its info(), got one that none does">>},
        Final([{option_not_taken, dimensions}])
    ).
