-module(ml_cluster_http_error_tests).
-include_lib("eunit/include/eunit.hrl").

%% Every reason that the contract names, and one that it doesn't.
reasons() ->
    [
        {400, {malformed, <<"x">>}},
        {400, {empty, <<"inputs">>}},
        {401, unauthorized},
        {404, {not_found, <<"/x">>}},
        {404, {unknown_model, <<"m">>}},
        {405, {method_not_allowed, [<<"GET">>]}},
        {408, slow_body},
        {408, slow_head},
        {414, uri_too_long},
        {415, encoded_body},
        {431, {head_too_large, <<"x">>}},
        {505, {version, <<"x">>}},
        {413, {too_large, texts, 2, 1}},
        {413, {too_large, <<"body">>, {at_least, 2}, 1}},
        {413, {too_long, 1, {at_least, 600}, 512}},
        {422, {bad_argument, <<"texts">>, <<"x">>}},
        {422, {bad_argument, {odd, name}, "charlist"}},
        {429, {overloaded, 1}},
        {500, {model_failed, <<"m">>, <<"not finite">>}},
        {500, {worker_failed, n@h, {any, thing}}},
        {500, {never, seen}},
        {503, no_workers},
        {503, draining},
        {503, not_started},
        {503, {worker_lost, n@h}},
        {503, {unhealthy, <<"cuda">>}},
        {504, deadline_exceeded}
    ].

ours_test_() ->
    [
        ?_assertEqual({Status, [message, reason]}, fields(answer(ours, Reason)))
     || {Status, Reason} <- reasons()
    ].

openai_test_() ->
    [
        ?_assertEqual(
            {openai_status(Status), [code, message, param, type]}, fields(answer(openai, Reason))
        )
     || {Status, Reason} <- reasons()
    ].

openai_status(422) -> 400;
openai_status(Status) -> Status.

tei_test_() ->
    [
        ?_assertEqual({Reason, tei_status(Status, Reason)}, {Reason, tei(Reason)})
     || {Status, Reason} <- reasons()
    ].

tei_status(500, _) -> 424;
tei_status(413, {too_long, _, _, _}) -> 422;
tei_status(Status, _) -> Status.

tei(Reason) ->
    #{status := Status, body := Body} = ml_cluster_http_error:response(tei, Reason),
    {ok, #{<<"error">> := Text, <<"error_type">> := Type}} =
        ml_cluster_json:decode(iolist_to_binary(Body), 100),
    ?assert(is_binary(Text)),
    Types = [<<"Unhealthy">>, <<"Backend">>, <<"Overloaded">>, <<"Validation">>, <<"Tokenizer">>, <<"Empty">>],
    ?assert(lists:member(Type, Types)),
    Status.

fields({Status, Error}) ->
    {Status, lists:sort([binary_to_existing_atom(Key) || Key <- maps:keys(Error)])}.

answer(Dialect, Reason) ->
    #{status := Status, body := Body} = ml_cluster_http_error:response(Dialect, Reason),
    {ok, #{<<"error">> := Error}} = ml_cluster_json:decode(iolist_to_binary(Body), 100),
    {Status, Error}.
