%% @doc The front inside Hornbeam: its routes in Hornbeam's own listener, and its functions callable
%% from Python.
%%
%% ```
%% ok = ml_cluster_hornbeam:register(),
%% hornbeam:start("app:app", #{worker_class => asgi, routes => ml_cluster_hornbeam:routes()}).
%% '''
%%
%% What Python calls may be given keeps to what Hornbeam can carry (docs/HORNBEAM.md): bare maps,
%% names as binaries, failures raised. A call has 25 s unless it says otherwise, for Hornbeam cuts
%% every callback at 30 s.
-module(ml_cluster_hornbeam).

-export([routes/0, routes/1, register/0, register/1]).

-type route() :: {binary(), module(), map()}.

-define(TIMEOUT_MS, 25000).
-define(DEFAULT_PREFIX, <<"ml_cluster_">>).
%% Of a reply as text; one of more than 64 KiB breaks the web node on erlang_python 2, which writes
%% numbers longer than we do here.
-define(PAGE_BYTES, 49152).

%% @doc Every route of the front at its own path, the page at `/' included.
-spec routes() -> [route()].
routes() -> routes(<<>>).

%% @doc As routes/0, under a prefix such as `<<"/ml">>', for an app that has a `/' of its own.
-spec routes(binary()) -> [route()].
routes(Prefix) ->
    Opts = #{prefix => Prefix},
    [
        {<<Prefix/binary, (pattern(Path))/binary>>, ml_cluster_cowboy, Opts}
     || Path <- lists:sort(ml_cluster_http:routes())
    ].

%% A part in braces stands for the rest of a path: a model's name may have a slash in it.
pattern(Path) ->
    case binary:split(Path, <<"{">>) of
        [Folder, _] -> <<Folder/binary, "[...]">>;
        [Path] -> Path
    end.

%% @doc Makes the functions callable as `erlang.call("ml_cluster_encode", texts, model)'.
-spec register() -> ok.
register() -> register(?DEFAULT_PREFIX).

%% @doc As register/0, with another prefix of the names.
-spec register(binary()) -> ok.
register(Prefix) ->
    lists:foreach(
        fun({Name, Function}) ->
            Registered = binary_to_atom(<<Prefix/binary, Name/binary>>),
            ok = hornbeam(register_function, [Registered, Function])
        end,
        functions()
    ).

%% It is there only under Hornbeam; an indirect call keeps xref and Dialyzer quiet about that.
hornbeam(Function, Args) -> apply(hornbeam, Function, Args).

%% Each takes the list of the arguments that Python gave.
functions() ->
    [
        {<<"encode">>, with_kind(with_options(fun ml_cluster:encode/3))},
        {<<"encode_parallel">>, with_kind(with_options(fun ml_cluster:encode_parallel/3))},
        {<<"predict">>, with_options(fun ml_cluster:predict/3)},
        {<<"tokenize">>, fun(Args) -> call(tokenize, Args) end},
        {<<"similarity">>, fun(Args) -> call(similarity, Args) end},
        {<<"status">>, fun status/1},
        {<<"workers">>, fun([]) -> plain(ml_cluster:workers()) end},
        {<<"metrics">>, fun([]) -> plain(ml_cluster:metrics()) end}
    ].

with_options(Function) ->
    fun
        ([Input]) -> result(Function(Input, default, options(#{})));
        ([Input, Model]) -> result(Function(Input, Model, options(#{})));
        ([Input, Model, Opts]) -> result(Function(Input, Model, options(Opts)))
    end.

%% Many texts take several calls, which know nothing of each other: where a fingerprint was asked for,
%% `kind' says which answers may stand side by side.
with_kind(Function) ->
    fun(Args) ->
        case Function(Args) of
            #{model_id := _} = Answer -> Answer#{kind => kind(Answer)};
            Answer -> Answer
        end
    end.

kind(Answer) ->
    {ModelId, Numerics} = ml_cluster_kinds:kind(Answer, ml_cluster_config:get(mix_numerics)),
    iolist_to_binary(io_lib:format("~s ~s", [ModelId, Numerics])).

%% The workers behind the first Skip of them, as many as a reply can carry, and how many are left.
status([]) ->
    status([0]);
status([Skip]) when is_integer(Skip), Skip >= 0 ->
    #{workers := Workers} = Status = plain(ml_cluster:status()),
    {Carried, Omitted} = carried(lists:nthtail(min(Skip, length(Workers)), Workers)),
    Status#{workers := Carried, omitted => Omitted}.

carried([]) -> {[], 0};
carried([First | Rest]) -> carried(Rest, ?PAGE_BYTES - size_as_text(First), [First]).

carried([Worker | Rest] = Workers, Room, Carried) ->
    case Room - size_as_text(Worker) of
        Left when Left >= 0 -> carried(Rest, Left, [Worker | Carried]);
        _ -> {lists:reverse(Carried), length(Workers)}
    end;
carried([], _, Carried) ->
    {lists:reverse(Carried), 0}.

size_as_text(Term) -> iolist_size(io_lib:format("~0p", [Term])).

call(Function, Args) -> result(ml_cluster:call(Function, Args, options(#{}))).

%% Python's None arrives as the atom `none'.
options(none) -> options(#{});
options(#{} = Opts) when is_map_key(<<"timeout_ms">>, Opts); is_map_key(timeout_ms, Opts) -> Opts;
options(#{} = Opts) -> Opts#{timeout_ms => ?TIMEOUT_MS};
options(Opts) -> Opts.

%% A raised reason is an exception in Python; a returned one would be taken for an answer.
result({ok, Value}) -> plain(Value);
result({error, Reason}) -> error(Reason).

%% Names as binaries: on erlang_python 2 an atom is a str and a charlist is one, on 4 a charlist is
%% a list of numbers. What Python has no word for goes as text.
plain(Value) when is_boolean(Value); is_number(Value); Value =:= none -> Value;
plain(undefined) -> none;
plain(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
plain(Binary) when is_binary(Binary) -> Binary;
plain(List) when is_list(List) -> [plain(Item) || Item <- List];
plain(Map) when is_map(Map) -> maps:map(fun(_, Item) -> plain(Item) end, Map);
plain(Other) -> unicode:characters_to_binary(io_lib:format("~0tp", [Other])).
