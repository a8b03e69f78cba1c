%% @doc `POST /embed', `POST /tokenize' and `GET /info' as clients of text-embeddings-inference know
%% them. That server has one model: here it is the default one. Unknown fields are ignored, as there.
-module(ml_cluster_http_tei).

-export([embed/1, tokenize/1, info/1]).

%% @doc A list of vectors, nothing round it.
-spec embed(ml_cluster_http:request()) -> ml_cluster_http:response().
embed(Request) ->
    Object = ml_cluster_http_body:object(Request),
    Texts = inputs(Object),
    Options = maps:merge(ml_cluster_http_body:options(Request), requested(Object)),
    case ml_cluster:encode(Texts, default, Options#{wish_format => json}) of
        {ok, #{embeddings := Vectors}} ->
            ml_cluster_http_body:json(200, [ml_cluster_http_infer:vector(V) || V <- Vectors]);
        {error, Reason} ->
            throw({http, Reason})
    end.

inputs(#{<<"inputs">> := Text}) when is_binary(Text) -> nonempty([Text]);
inputs(#{<<"inputs">> := []}) -> throw({http, {empty, <<"inputs">>}});
inputs(#{<<"inputs">> := [First | _]}) when is_integer(First); is_list(First) ->
    bad(<<"inputs">>, <<"expected texts, got token ids">>);
inputs(Object) -> nonempty(ml_cluster_http_body:strings(<<"inputs">>, Object)).

nonempty(Texts) ->
    case lists:member(<<>>, Texts) of
        true -> throw({http, {empty, <<"inputs">>}});
        false -> Texts
    end.

%% That server normalises unless told otherwise.
requested(Object) ->
    Given = [
        {normalize, flag(<<"normalize">>, Object, true)},
        {truncate, flag(<<"truncate">>, Object, default)},
        {truncation_side, side(maps:get(<<"truncation_direction">>, Object, null))},
        {prompt, prompt(maps:get(<<"prompt_name">>, Object, null))},
        {dimensions, dimensions(maps:get(<<"dimensions">>, Object, null))}
    ],
    maps:from_list([Option || {_, Value} = Option <- Given, Value =/= default]).

flag(Name, Object, Default) ->
    case maps:get(Name, Object, null) of
        null -> Default;
        Flag when is_boolean(Flag) -> Flag;
        _ -> bad(Name, <<"expected true or false">>)
    end.

side(null) -> default;
side(Side) when Side =:= <<"left">>; Side =:= <<"Left">> -> left;
side(Side) when Side =:= <<"right">>; Side =:= <<"Right">> -> right;
side(_) -> bad(<<"truncation_direction">>, <<"expected left or right">>).

prompt(null) -> default;
prompt(Name) when is_binary(Name) -> Name;
prompt(_) -> bad(<<"prompt_name">>, <<"expected a string">>).

dimensions(null) -> default;
dimensions(Count) when is_integer(Count), Count > 0 -> Count;
dimensions(_) -> bad(<<"dimensions">>, <<"expected a positive integer">>).

-spec bad(binary(), binary()) -> no_return().
bad(Field, What) -> throw({http, {bad_argument, Field, What}}).

%% @doc The tokens of each text, whole: what each stands for and where, in bytes of the UTF-8 text. A
%% prompt counts as part of the text, as there.
-spec tokenize(ml_cluster_http:request()) -> ml_cluster_http:response().
tokenize(Request) ->
    Object = ml_cluster_http_body:object(Request),
    Texts = inputs(Object),
    Special = flag(<<"add_special_tokens">>, Object, true),
    Options = maps:merge(
        ml_cluster_http_body:options(Request),
        maps:with([prompt], requested(Object))
    ),
    case pieces([Texts, default], Options) of
        {ok, Lists} -> ml_cluster_http_body:json(200, [tokens(Pieces, Special) || Pieces <- Lists]);
        {error, Reason} -> throw({http, Reason})
    end.

%% Of a worker that is yet to be upgraded the ids alone.
pieces(Args, Options) ->
    case ml_cluster:call(tokenize, Args, Options#{pieces => true}) of
        {error, {bad_argument, pieces, _}} -> ids(ml_cluster:call(tokenize, Args, Options));
        Result -> Result
    end.

ids({ok, Lists}) -> {ok, [[bare(Id) || Id <- Ids] || Ids <- Lists]};
ids({error, _} = Error) -> Error.

bare(Id) -> #{id => Id, text => <<>>, special => false, start => none, stop => none}.

tokens(Pieces, Special) -> [token(Piece) || Piece <- Pieces, Special orelse not is_special(Piece)].

is_special(#{special := Special}) -> Special.

%% Special tokens stand nowhere in the text.
token(Piece) -> maps:map(fun(_, Value) -> if Value =:= none -> null; true -> Value end end, Piece).

%% @doc What is served, and its limits, as a worker that is up tells them.
-spec info(ml_cluster_http:request()) -> ml_cluster_http:response().
info(_) ->
    case [Info || #{state := up, info := Info} <- ml_cluster_table:rows()] of
        [] -> throw({http, no_workers});
        [Info | _] -> ml_cluster_http_body:json(200, served(ml_cluster_info:default_model(Info)))
    end.

served(#{name := Name, max_tokens := MaxTokens, numerics := Numerics} = Model) ->
    #{texts := Texts, connections := Connections} = ml_cluster_config:get(limits),
    #{
        model_id => Name,
        model_sha => null,
        served_model_name => Name,
        model_dtype => hd(binary:split(Numerics, <<"/">>)),
        model_type => model_type(Model),
        max_concurrent_requests => Connections,
        max_input_length => MaxTokens,
        max_batch_tokens => MaxTokens,
        max_batch_requests => null,
        max_client_batch_size => Texts,
        auto_truncate => true,
        tokenization_workers => 1,
        version => version(),
        sha => null,
        docker_label => null
    }.

%% That server has one mode of pooling; a model of several has their names one after another, and of a
%% worker that tells none it is the usual one. It calls a classifier of one label a reranker.
model_type(#{task := classification, labels := Labels}) ->
    Numbered = lists:enumerate(0, Labels),
    Names = #{
        id2label => maps:from_list([{integer_to_binary(Id), Label} || {Id, Label} <- Numbered]),
        label2id => maps:from_list([{Label, Id} || {Id, Label} <- Numbered])
    },
    case Labels of
        [_] -> #{reranker => Names};
        _ -> #{classifier => Names}
    end;
model_type(Model) ->
    #{embedding => #{pooling => iolist_to_binary(lists:join($+, maps:get(pooling, Model, [<<"mean">>])))}}.

version() ->
    case application:get_key(ml_cluster, vsn) of
        {ok, Version} -> list_to_binary(Version);
        undefined -> <<"unknown">>
    end.
