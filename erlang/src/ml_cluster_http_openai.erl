%% @doc `POST /v1/embeddings' and `GET /v1/models' as OpenAI's clients know them. Unknown fields
%% are ignored there, as that API does.
-module(ml_cluster_http_openai).

-export([embeddings/1, models/1, model/1]).

%% @doc Embeddings of one text or a list of texts.
-spec embeddings(ml_cluster_http:request()) -> ml_cluster_http:response().
embeddings(Request) ->
    Object = ml_cluster_http_body:object(Request),
    Texts = input(Object),
    Model = ml_cluster_http_body:model(Object),
    Options = maps:merge(ml_cluster_http_body:options(Request), requested(Object)),
    case ml_cluster:encode(Texts, Model, Options) of
        {ok, Answer} -> ml_cluster_http_body:json(200, reply(Answer, Model, Options));
        {error, Reason} -> throw({http, Reason})
    end.

reply(#{embeddings := Vectors} = Answer, Model, #{format := Format}) ->
    Tokens = lists:sum([maps:get(used, Usage, 0) || Usage <- maps:get(tokens, Answer, [])]),
    Numbered = lists:zip(lists:seq(0, length(Vectors) - 1), Vectors),
    #{
        object => list,
        data => [
            #{object => embedding, index => I, embedding => vector(Format, V)}
         || {I, V} <- Numbered
        ],
        model => Model,
        usage => #{prompt_tokens => Tokens, total_tokens => Tokens}
    }.

vector(json, Text) -> {json, Text};
vector(base64, Text) -> Text.

input(#{<<"input">> := Text}) when is_binary(Text) -> nonempty([Text]);
input(#{<<"input">> := [_ | _] = Texts}) -> texts(Texts);
input(#{<<"input">> := []}) -> bad(<<"input">>, <<"expected at least one text">>);
input(#{<<"input">> := _}) -> bad(<<"input">>, <<"expected a string or a list of strings">>);
input(_) -> bad(<<"input">>, <<"is missing">>).

texts([First | _]) when is_integer(First); is_list(First) ->
    bad(
        <<"input">>,
        <<"expected texts, got tokens: LangChain needs check_embedding_ctx_length=False">>
    );
texts(Texts) ->
    case lists:all(fun is_binary/1, Texts) of
        true -> nonempty(Texts);
        false -> bad(<<"input">>, <<"expected a string or a list of strings">>)
    end.

nonempty(Texts) ->
    case lists:member(<<>>, Texts) of
        true -> bad(<<"input">>, <<"expected texts that are not empty">>);
        false -> Texts
    end.

%% What the worker is asked for: text that goes into the reply as it is, and the token counts.
requested(Object) -> maps:merge(format(Object), maps:merge(dimensions(Object), #{usage => true})).

format(#{<<"encoding_format">> := <<"base64">>}) -> #{format => base64};
format(#{<<"encoding_format">> := Float}) when Float =:= <<"float">>; Float =:= null -> json();
format(#{<<"encoding_format">> := _}) -> bad(<<"encoding_format">>, <<"expected float or base64">>);
format(_) -> json().

json() -> #{format => json}.

dimensions(#{<<"dimensions">> := N}) when is_integer(N), N > 0 -> #{dimensions => N};
dimensions(#{<<"dimensions">> := null}) -> #{};
dimensions(#{<<"dimensions">> := _}) -> bad(<<"dimensions">>, <<"expected a positive integer">>);
dimensions(_) -> #{}.

-spec bad(binary(), binary()) -> no_return().
bad(Field, What) -> throw({http, {bad_argument, Field, What}}).

%% @doc The models that the workers have loaded, and their aliases.
-spec models(ml_cluster_http:request()) -> ml_cluster_http:response().
models(_) ->
    ml_cluster_http_body:json(200, #{
        object => list, data => [described(Name) || Name <- all_names()]
    }).

%% @doc One of them.
-spec model(ml_cluster_http:request()) -> ml_cluster_http:response().
model(#{path := <<"/v1/models/", Encoded/binary>>}) ->
    Name = decoded(Encoded),
    case lists:member(short(Name), all_names()) of
        true -> ml_cluster_http_body:json(200, described(Name));
        false -> throw({http, {unknown_model, Name}})
    end.

%% A client may send the slash of ORG/NAME as it is, or encoded.
decoded(Encoded) ->
    try uri_string:percent_decode(Encoded) of
        Name when is_binary(Name) -> Name;
        _ -> Encoded
    catch
        throw:{error, _, _} -> Encoded
    end.

%% A name without an organisation is one of this.
short(<<"sentence-transformers/", Name/binary>>) -> Name;
short(Name) -> Name.

described(Name) -> #{id => Name, object => model, created => 0, owned_by => ml_worker}.

all_names() -> lists:usort(lists:append([names(Row) || Row <- ml_cluster_table:rows()])).

names(#{state := up, info := Info}) ->
    #{loaded := Loaded, aliases := Aliases} = ml_cluster_info:models(Info),
    Loaded ++ [Alias || {Alias, Name} <- maps:to_list(Aliases), lists:member(Name, Loaded)];
names(_) ->
    [].
