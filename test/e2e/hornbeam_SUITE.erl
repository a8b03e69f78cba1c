%% @doc What Hornbeam sends to a worker and what it can carry back: the terms that the app which this
%% system comes from sends, to a real worker, each reply held to the rules of its shape.
-module(hornbeam_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

%% A reply that is longer as text breaks the web node on erlang_python 2.
-define(LARGEST_TEXT, 65536).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [
        encode_is_a_bare_map,
        no_texts,
        none_is_the_default_model,
        predict_is_bare,
        info_can_be_shown,
        every_reply_can_be_carried,
        twelve_vectors_fit_as_text,
        numbers_are_the_shortest,
        a_failure_is_a_badrpc,
        a_worker_is_among_the_connected_nodes
    ].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_hornbeam),
    Worker = e2e:start_worker(worker),
    [{worker, Worker}, {node, e2e:node_of(Worker)} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

%% What rpc_call(node, 'ml_worker', f, args, timeout_ms=60000) becomes.
call(Config, Function, Args) ->
    rpc:call(proplists:get_value(node, Config), ml_worker, Function, Args, 60000).

encode_is_a_bare_map(Config) ->
    Reply = call(Config, encode, [[<<"one">>, <<"zwei: Übergröße"/utf8>>], <<"default">>]),
    ?assertEqual([cached, embeddings], lists:sort(maps:keys(Reply))),
    #{embeddings := Vectors, cached := Cached} = Reply,
    ?assert(is_integer(Cached)),
    ?assertEqual([384, 384], [length(V) || V <- Vectors]),
    ?assert(lists:all(fun is_float/1, lists:append(Vectors))).

no_texts(Config) ->
    ?assertMatch(#{embeddings := [], cached := 0}, call(Config, encode, [[], <<"default">>])).

none_is_the_default_model(Config) ->
    Texts = [<<"the default">>],
    #{embeddings := Vectors} = call(Config, encode, [Texts, <<"default">>]),
    ?assertMatch(#{embeddings := Vectors}, call(Config, encode, [Texts, none])),
    ?assertMatch(#{embeddings := Vectors}, call(Config, encode, [Texts, <<"all-MiniLM-L6-v2">>])).

predict_is_bare(Config) ->
    [Vector] = call(Config, predict, [[<<"one">>], <<"default">>]),
    ?assertEqual(Vector, call(Config, predict, [<<"one">>, <<"default">>])).

%% The app spreads the map into its answer, beside `node' and `status'.
info_can_be_shown(Config) ->
    #{model := #{loaded_models := Models, default_dimensions := 384}, memory := #{}, cache := #{}} =
        Info = call(Config, info, []),
    ?assertEqual([<<"all-MiniLM-L6-v2">>], Models),
    ?assertNot(is_map_key(node, Info)),
    ?assertNot(is_map_key(status, Info)).

every_reply_can_be_carried(Config) ->
    [?assertEqual({Function, []}, {Function, faults(call(Config, Function, Args))})
     || {Function, Args} <- [{encode, [[<<"a">>, <<>>], <<"default">>]}, {predict, [<<"a">>, none]},
                             {info, []}, {get_load, []}, {health, []}, {models, []}, {metrics, []},
                             {tokenize, [[<<"a">>], none]}]].

%% What Hornbeam cannot carry, or Python would take for something else.
faults(Term) when is_number(Term), abs(Term) < 1.0e300 -> [];
faults(Term) when is_atom(Term) -> [];
faults(Term) when is_binary(Term) ->
    Valid = is_list(unicode:characters_to_list(Term)) andalso
        binary:match(Term, <<0>>) =:= nomatch,
    [{binary, Term} || not Valid];
faults([Head | Tail]) when is_list(Tail) -> faults(Head) ++ faults(Tail);
faults([]) -> [];
faults(Map) when is_map(Map) -> faults(maps:keys(Map)) ++ faults(maps:values(Map));
%% A pair inside of a list of numbers is a bucket of a histogram.
faults({A, B}) -> faults(A) ++ faults(B);
faults(Other) -> [Other].

twelve_vectors_fit_as_text(Config) ->
    Texts = [<<"text number ", (integer_to_binary(I))/binary>> || I <- lists:seq(1, 12)],
    Reply = call(Config, encode, [Texts, <<"default">>]),
    ?assert(iolist_size(io_lib:format("~w", [Reply])) < ?LARGEST_TEXT),
    Info = call(Config, info, []),
    ?assert(iolist_size(io_lib:format("~w", [Info])) < ?LARGEST_TEXT).

%% Nine digits are enough for a float32; a widened one would have seventeen.
numbers_are_the_shortest(Config) ->
    Vector = call(Config, predict, [<<"digits">>, none]),
    Digits = fun(Float) ->
        [Mantissa | _] = string:split(io_lib_format:fwrite_g(abs(Float)), "e"),
        length(string:trim([C || C <- lists:flatten(Mantissa), C =/= $.], leading, "0"))
    end,
    ?assert(lists:max([Digits(Float) || Float <- Vector]) =< 10),
    [?assertEqual(Float, shortest(Float)) || Float <- Vector].

%% The double nearest to the shortest decimal that reads back as the same float32.
shortest(Float) ->
    <<Single:32/float>> = <<Float:32/float>>,
    Same = fun(Decimal) -> <<Decimal:32/float>> =:= <<Single:32/float>> end,
    hd([D || Digits <- lists:seq(1, 9),
             D <- [list_to_float(lists:flatten(io_lib:format("~.*e", [max(2, Digits), Float])))],
             Same(D)]).

a_failure_is_a_badrpc(Config) ->
    ?assertMatch({badrpc, {'EXIT', {{unknown_model, <<"nope">>}, [_ | _]}}},
                 call(Config, encode, [[<<"a">>], <<"nope">>])),
    ?assertMatch({badrpc, {'EXIT', {{bad_argument, texts, _}, _}}},
                 call(Config, encode, [<<"a">>, <<"default">>])),
    ?assertMatch({badrpc, {'EXIT', {undef, _}}}, call(Config, get_model_info, [])).

%% nodes() in Python is erlang:nodes(connected), its names as strings.
a_worker_is_among_the_connected_nodes(Config) ->
    pong = net_adm:ping(proplists:get_value(node, Config)),
    Names = [atom_to_list(Node) || Node <- nodes(connected)],
    ?assertMatch([_], [Name || "worker" ++ _ = Name <- Names]).
