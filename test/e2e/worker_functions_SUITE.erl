%% @doc What users do with a model besides embedding a text: similarity, vectors of tokens, scores of
%% pairs, prompts, models that come and go. The reference is live sentence-transformers on small
%% models of random weights (small_models.py) and on the default model.
-module(worker_functions_SUITE).

-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(DEFAULT, <<"all-MiniLM-L6-v2">>).
-define(TEXTS, [<<"hello world">>, <<"Zwei Knaben rannten über die Brücke."/utf8>>, <<>>]).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [
        info_names_all, tokenize, similarity, similarity_wrong, embed_tokens, embed_tokens_formats,
        scores_of_pairs, scores_of_texts, scores_wrong, prompts, default_prompt, unknown_prompt,
        priority, models, load_and_unload, default_stays, not_allowed, broken_on_demand,
        loading_delays_nobody, models_max_bytes, many_at_once
    ].

init_per_suite(Config) ->
    ok = e2e:start_distribution(ct_functions),
    Small = e2e:small_models(),
    Worker = e2e:start_worker(worker, roots(Small) ++ lists:append([["--allow-model", Name] ||
        Name <- ["small-cross-encoder", "small-classifier", "small-prompted", "small-default-prompt",
                 "not-there"]])),
    [{worker, Worker}, {node, e2e:node_of(Worker)}, {small, Small} | Config].

end_per_suite(Config) ->
    ok = e2e:stop(proplists:get_value(worker, Config)),
    e2e:stop_distribution().

roots(Small) -> ["--models-root", filename:join(e2e:root(), "models"), "--models-root", Small].

%% What sentence-transformers answers to one question.
reference(Config, Question) ->
    File = filename:join(proplists:get_value(priv_dir, Config), e2e:unique("question")),
    ok = file:write_file(File, jiffy:encode([Question])),
    {0, Output} = e2e:small_models([File]),
    jiffy:decode(lists:last(binary:split(Output, <<"\n">>, [global, trim]))).

%% ---- What it computes ----------------------------------------------------------------------------

info_names_all(Config) ->
    #{functions := Functions, opts := Opts} = call(Config, info, []),
    ?assertEqual([embed_tokens, encode, get_load, health, info, load_model, metrics, models, predict,
                  similarity, tokenize, unload_model], Functions),
    ?assertEqual([dimensions, fingerprint, format, normalize, pieces, priority, prompt,
                  timeout_ms, timings, trace, truncate, truncation_side, usage], Opts).

tokenize(Config) ->
    ?assertEqual([[101, 7592, 2088, 102], [101, 102]],
                 call(Config, tokenize, [[<<"hello world">>, ""], default])),
    Long = binary:copy(<<"word ">>, 1000),
    [Right] = call(Config, tokenize, [[<<"start ", Long/binary, "end">>], default]),
    [Left] = call(Config, tokenize, [[<<"start ", Long/binary, "end">>], default,
                                     #{truncation_side => left}]),
    ?assertEqual({256, 256, 2707}, {length(Right), length(Left), lists:nth(2, Right)}),
    ?assertNotEqual(2707, lists:nth(2, Left)),
    ?assertMatch({too_long, 1, _, 256},
                 reason(Config, tokenize, [[Long], default, #{truncate => false}])),
    ?assertMatch({bad_argument, format, _},
                 reason(Config, tokenize, [[Long], default, #{format => json}])).

similarity(Config) ->
    [A, B, C] = ?TEXTS,
    #{embeddings := [Va, Vb, Vc]} = call(Config, encode, [?TEXTS, default]),
    Dot = fun(X, Y) -> lists:sum([F * G || {F, G} <- lists:zip(X, Y)]) end,
    Same = fun(Expected, Got) -> ?assert(abs(Expected - Got) < 1.0e-6) end,
    Number = call(Config, similarity, [A, B, default]),
    ?assert(is_float(Number)),
    Same(Dot(Va, Vb), Number),
    [AB, AC] = call(Config, similarity, [A, [B, C], default]),
    Same(Dot(Va, Vb), AB),
    Same(Dot(Va, Vc), AC),
    ?assertEqual([AB, AC], call(Config, similarity, [[B, C], A, default])),
    Rows = call(Config, similarity, [?TEXTS, ?TEXTS, <<"small-prompted">>]),
    Theirs = reference(Config, #{model => <<"small-prompted">>, call => similarity, input => ?TEXTS}),
    ?assert(e2e:largest_difference(Rows, Theirs) < 1.0e-5),
    ?assertEqual([], call(Config, similarity, [A, [], default])),
    ?assertEqual([], call(Config, similarity, [[], A, default])),
    ?assert(call(Config, similarity, ["hello", <<"hello">>, default]) > 0.99999).

similarity_wrong(Config) ->
    ?assertMatch({bad_argument, a, _}, reason(Config, similarity, [5, <<"b">>, default])),
    ?assertMatch({bad_argument, b, _}, reason(Config, similarity, [<<"a">>, [5, a], default])),
    ?assertMatch({bad_argument, model, _},
                 reason(Config, similarity, [<<"a">>, <<"b">>, <<"small-classifier">>])),
    ?assertMatch({unknown_model, <<"nope">>}, reason(Config, similarity, [<<"a">>, <<"b">>, nope])),
    ?assertMatch({too_large, similarities, 25000000, _},
                 reason(Config, similarity, [lists:duplicate(5000, <<"a">>),
                                             lists:duplicate(5000, <<"b">>), default])).

embed_tokens(Config) ->
    Ours = call(Config, embed_tokens, [?TEXTS, <<"small-prompted">>]),
    Theirs = reference(Config, #{model => <<"small-prompted">>, call => embed_tokens, input => ?TEXTS}),
    ?assertEqual([length(T) || T <- Theirs], [length(T) || T <- Ours]),
    [?assert(e2e:largest_difference(O, T) < 1.0e-4) || {O, T} <- lists:zip(Ours, Theirs)],
    Ids = call(Config, tokenize, [?TEXTS, default]),
    Tokens = call(Config, embed_tokens, [?TEXTS, default]),
    ?assertEqual([length(I) || I <- Ids], [length(T) || T <- Tokens]),
    ?assertEqual([384], lists:usort([length(V) || T <- Tokens, V <- T])),
    ?assertEqual([], call(Config, embed_tokens, [[], default])).

embed_tokens_formats(Config) ->
    [Lists] = call(Config, embed_tokens, [[<<"hello">>], default]),
    [Binaries] = call(Config, embed_tokens, [[<<"hello">>], default, #{format => binary}]),
    ?assertEqual(Binaries, [<<<<F:32/float-little>> || F <- V>> || V <- Lists]),
    [Json] = call(Config, embed_tokens, [[<<"hello">>], default, [{format, json}]]),
    ?assertEqual(Lists, [jiffy:decode(J) || J <- Json]),
    ?assertMatch({bad_argument, texts, _}, reason(Config, embed_tokens, [<<"hello">>, default])),
    ?assertMatch({bad_argument, usage, _},
                 reason(Config, embed_tokens, [[<<"hello">>], default, #{usage => true}])),
    ?assertMatch({too_large, tokens, _, _},
                 reason(Config, embed_tokens, [lists:duplicate(1000, binary:copy(<<"w ">>, 300)), default])).

scores_of_pairs(Config) ->
    Long = binary:copy(<<"far over the limit ">>, 60),
    Pairs = [{<<"how many people live here">>, <<"3,520,031 do">>}, {<<"a">>, <<>>},
             {Long, <<"short">>}, {<<"short">>, Long}, {Long, Long}],
    Theirs = reference(Config, #{model => <<"small-cross-encoder">>, call => predict,
                                 input => [[A, B] || {A, B} <- Pairs]}),
    Ours = call(Config, predict, [Pairs, <<"small-cross-encoder">>]),
    ?assert(e2e:largest_difference([Ours], [Theirs]) < 1.0e-5),
    ?assertEqual(hd(Ours), call(Config, predict, [hd(Pairs), <<"small-cross-encoder">>])),
    ?assertEqual(hd(Ours), call(Config, predict, [{"how many people live here", "3,520,031 do"},
                                                  <<"small-cross-encoder">>])),
    Labels = reference(Config, #{model => <<"small-classifier">>, call => predict,
                                 input => [[A, B] || {A, B} <- Pairs]}),
    Scores = call(Config, predict, [Pairs, <<"small-classifier">>]),
    ?assert(e2e:largest_difference(Scores, Labels) < 1.0e-4),
    ?assertEqual([3], lists:usort([length(S) || S <- Scores])).

scores_of_texts(Config) ->
    Theirs = reference(Config, #{model => <<"small-classifier">>, call => scores, input => ?TEXTS}),
    Ours = call(Config, predict, [?TEXTS, <<"small-classifier">>]),
    ?assert(e2e:largest_difference(Ours, Theirs) < 1.0e-4),
    ?assertEqual(hd(Ours), call(Config, predict, [hd(?TEXTS), <<"small-classifier">>])),
    ?assertEqual([], call(Config, predict, [[], <<"small-classifier">>])),
    [Binary | _] = call(Config, predict, [?TEXTS, <<"small-classifier">>, #{format => binary}]),
    ?assertEqual(<<<<F:32/float-little>> || F <- hd(Ours)>>, Binary).

scores_wrong(Config) ->
    Bad = fun(Name, Args) -> ?assertMatch({bad_argument, Name, _}, reason(Config, predict, Args)) end,
    Bad(input, [{<<"a">>, <<"b">>}, default]),
    Bad(input, [[<<"a">>, {<<"a">>, <<"b">>}], default]),
    Bad(input, [{<<"a">>, <<"b">>, <<"c">>}, <<"small-cross-encoder">>]),
    Bad(input, [{<<"a">>, 5}, <<"small-cross-encoder">>]),
    Bad(input, [[{<<"a">>, <<255>>}], <<"small-cross-encoder">>]),
    Bad(dimensions, [<<"a">>, <<"small-classifier">>, #{dimensions => 2}]),
    Bad(normalize, [<<"a">>, <<"small-classifier">>, #{normalize => true}]),
    ?assertMatch({bad_argument, texts, _},
                 reason(Config, encode, [[{<<"a">>, <<"b">>}], <<"small-cross-encoder">>])),
    ?assertMatch({bad_argument, model, _},
                 reason(Config, encode, [[<<"a">>], <<"small-cross-encoder">>])).

prompts(Config) ->
    Encode = fun(Opts) ->
        #{embeddings := V} = call(Config, encode, [?TEXTS, <<"small-prompted">>, Opts]), V
    end,
    [begin
         Theirs = reference(Config, #{model => <<"small-prompted">>, call => encode,
                                      input => ?TEXTS, prompt => Name}),
         ?assert(e2e:largest_difference(Encode(#{prompt => Name}), Theirs) < 1.0e-4)
     end || Name <- [query, passage, document]],
    ?assertEqual(Encode(#{}), Encode(#{prompt => none})),
    ?assertEqual(Encode(#{prompt => query}), Encode(#{<<"prompt">> => <<"query">>})),
    ?assertNotEqual(Encode(#{}), Encode(#{prompt => query})),
    #{tokens := [#{used := Plain} | _]} =
        call(Config, encode, [?TEXTS, <<"small-prompted">>, #{usage => true}]),
    #{tokens := [#{used := Prompted} | _]} =
        call(Config, encode, [?TEXTS, <<"small-prompted">>, #{usage => true, prompt => query}]),
    ?assertEqual(Plain + 4, Prompted).

default_prompt(Config) ->
    Encode = fun(Texts, Opts) ->
        #{embeddings := V} = call(Config, encode, [Texts, <<"small-default-prompt">>, Opts]), V
    end,
    Theirs = reference(Config, #{model => <<"small-default-prompt">>, call => encode, input => ?TEXTS}),
    ?assert(e2e:largest_difference(Encode(?TEXTS, #{}), Theirs) < 1.0e-4),
    ?assertEqual(Encode([<<"a">>], #{}), Encode([<<"passage: a">>], #{prompt => <<>>})).

unknown_prompt(Config) ->
    {bad_argument, prompt, What} =
        reason(Config, encode, [[<<"a">>], <<"small-prompted">>, #{prompt => qery}]),
    [?assertNotEqual(nomatch, string:find(What, Name)) || Name <- ["query", "passage", "qery"]],
    ?assertMatch({bad_argument, prompt, _},
                 reason(Config, encode, [[<<"a">>], default, #{prompt => <<"no_such">>}])),
    ?assertMatch({bad_argument, prompt, _},
                 reason(Config, encode, [[<<"a">>], default, #{prompt => 5}])).

priority(Config) ->
    Encode = fun(Opts) -> call(Config, encode, [[<<"any priority">>], default, Opts]) end,
    #{embeddings := V} = Encode(#{priority => bulk}),
    #{embeddings := V} = Encode([{priority, <<"interactive">>}]),
    ?assertMatch({bad_argument, priority, _},
                 reason(Config, encode, [[<<"a">>], default, #{priority => high}])).

%% ---- Models that come and go ---------------------------------------------------------------------

models(Config) ->
    Models = call(Config, models, []),
    Named = maps:from_list([{Name, M} || #{name := Name} = M <- Models]),
    ?assertMatch(#{?DEFAULT := #{loaded := true, dimensions := 384, task := embedding}}, Named),
    ?assertMatch(#{<<"small-cross-encoder">> := #{allowed := true}}, Named),
    ?assertMatch(#{<<"small-prompted.plain">> := #{loaded := false, allowed := false}}, Named).

load_and_unload(Config) ->
    Name = <<"small-cross-encoder">>,
    _ = rpc:call(node_of(Config), ml_worker, unload_model, [Name]),
    ?assertNot(is_loaded(Config, Name)),
    ?assertEqual(ok, call(Config, load_model, [Name])),
    ?assert(is_loaded(Config, Name)),
    ?assertEqual(ok, call(Config, load_model, [Name])),
    ?assertEqual(ok, call(Config, unload_model, [Name])),
    ?assertNot(is_loaded(Config, Name)),
    ?assertMatch({unknown_model, Name}, reason(Config, unload_model, [Name])),
    %% On demand it comes back.
    ?assert(is_float(call(Config, predict, [{<<"a">>, <<"b">>}, Name]))),
    ?assert(is_loaded(Config, Name)).

is_loaded(Config, Name) ->
    #{model := #{loaded_models := Loaded}} = call(Config, info, []),
    lists:member(Name, Loaded).

default_stays(Config) ->
    [?assertMatch({bad_argument, model, _}, reason(Config, unload_model, [Name]))
     || Name <- [default, ?DEFAULT, none]],
    ?assertEqual(ok, call(Config, health, [])).

not_allowed(Config) ->
    [?assertMatch({unknown_model, _}, reason(Config, load_model, [Name])) ||
        Name <- [<<"small-prompted.plain">>, <<"not-there">>, <<"../models">>, <<"/etc">>]],
    ?assertMatch({unknown_model, _}, reason(Config, encode, [[<<"a">>], <<"small-prompted.plain">>])),
    ?assertMatch({unknown_model, _}, reason(Config, encode, [[<<"a">>], <<"not-there">>])),
    ?assertMatch({bad_argument, model, _}, reason(Config, load_model, [5])).

broken_on_demand(Config) ->
    Root = filename:join(proplists:get_value(priv_dir, Config), "roots"),
    ok = filelib:ensure_path(filename:join(Root, "broken")),
    ok = file:write_file(filename:join([Root, "broken", "config.json"]), <<"{">>),
    Worker = e2e:start_worker(worker, ["--models-root", filename:join(e2e:root(), "models"),
                                       "--models-root", Root, "--allow-model", "broken"]),
    Node = [{node, e2e:node_of(Worker)}],
    ?assertMatch({model_failed, <<"broken">>, _}, reason(Node, encode, [[<<"a">>], broken])),
    ?assertMatch({model_failed, <<"broken">>, _}, reason(Node, load_model, [broken])),
    ?assertEqual(ok, call(Node, health, [])),
    e2e:stop(Worker).

loading_delays_nobody(Config) ->
    Node = node_of(Config),
    _ = rpc:call(Node, ml_worker, unload_model, [<<"small-classifier">>]),
    Waiting = [erpc:send_request(Node, ml_worker, predict, [hd(?TEXTS), <<"small-classifier">>])
               || _ <- lists:seq(1, 20)],
    #{embeddings := [_]} = call(Config, encode, [[<<"another model">>], default]),
    [Scores] = lists:usort([erpc:receive_response(Id, 60000) || Id <- Waiting]),
    ?assertEqual(3, length(Scores)).

models_max_bytes(Config) ->
    Worker = e2e:start_worker(worker, roots(proplists:get_value(small, Config)) ++
        ["--allow-model", "small-classifier", "--models-max-bytes", "92000000"]),
    Node = [{node, e2e:node_of(Worker)}],
    ?assertMatch({too_large, models, Got, 92000000} when Got > 92000000,
                 reason(Node, load_model, [<<"small-classifier">>])),
    ?assertMatch({too_large, models, _, _}, reason(Node, predict, [<<"a">>, <<"small-classifier">>])),
    ?assertMatch(#{memory := #{models_max_bytes := 92000000}}, call(Node, info, [])),
    e2e:stop(Worker),
    {65, Log} = e2e:await_exit(e2e:spawn_program(
        ["--name", e2e:unique(worker) ++ "@127.0.0.1", "--models-max-bytes", "1000"],
        [{"ML_WORKER_COOKIE", "irrelevant"}])),
    ?assertNotEqual(nomatch, binary:match(Log, <<"--models-max-bytes">>)).

%% Loads, unloads and calls at once: every call has a right answer or says that the model is not there.
many_at_once(Config) ->
    Node = node_of(Config),
    Name = <<"small-cross-encoder">>,
    Score = call(Config, predict, [{<<"a">>, <<"b">>}, Name]),
    Ids = [erpc:send_request(Node, ml_worker, F, A) || _ <- lists:seq(1, 30), {F, A} <-
              [{predict, [{<<"a">>, <<"b">>}, Name]}, {unload_model, [Name]}, {load_model, [Name]},
               {predict, [[{<<"a">>, <<"b">>}], Name]}]],
    [case catch erpc:receive_response(Id, 120000) of
         ok -> ok;
         Score -> ok;
         [Score] -> ok;
         {'EXIT', {{exception, {unknown_model, Name}, _}, _}} -> ok
     end || Id <- Ids],
    ?assertEqual(Score, call(Config, predict, [{<<"a">>, <<"b">>}, Name])).

%% ---- Help ----------------------------------------------------------------------------------------

node_of(Config) -> proplists:get_value(node, Config).

call(Config, Function, Args) ->
    case rpc:call(node_of(Config), ml_worker, Function, Args) of
        {badrpc, Reason} -> error(Reason);
        Answer -> Answer
    end.

reason(Config, Function, Args) ->
    {badrpc, {'EXIT', {Reason, Stack}}} = rpc:call(node_of(Config), ml_worker, Function, Args),
    ?assertEqual([{ml_worker, Function, length(Args), []}], Stack),
    Reason.
