//! What a request may say: parses its statements, and refuses what would not do what it says.

use surrealdb_core::kvs::Datastore;
use surrealdb_core::syn;
use surrealdb_expr::expr::Idiom;
use surrealdb_expr::expr::statements::alter::AlterSystemStatement;
use surrealdb_expr::expr::statements::rebuild::RebuildStatement;
use surrealdb_expr::expr::visit::Visitor;
use surrealdb_sql::{Ast, Expr, TopLevelExpr};

use crate::error::StatementError;

pub(crate) fn parse(datastore: &Datastore, sql: &str) -> Result<Ast, StatementError> {
    syn::parse_with_capabilities(sql, &datastore.get_capabilities(), &datastore.parser_config())
        .map_err(|cause| StatementError::Parse(cause.to_string()))
}

pub(crate) fn check_update(ast: &Ast, sql: &str) -> Result<(), StatementError> {
    for expression in &ast.expressions {
        check_common(expression)?;
    }
    check_inside(ast, sql)
}

/// What is refused wherever it stands: at the top of a statement or inside a block, closure, function or event.
fn check_inside(ast: &Ast, sql: &str) -> Result<(), StatementError> {
    struct Refused(&'static str);
    struct Search;
    impl Visitor for Search {
        type Error = Refused;

        // The graph of a vector index that is rebuilt on one copy would stay in the memory of the others: it keeps its identity,
        // and nothing that they read says that it changed.
        fn visit_rebuild(&mut self, _: &RebuildStatement) -> Result<(), Refused> {
            Err(Refused(
                "REBUILD INDEX is not replicated correctly: use DEFINE INDEX OVERWRITE, which builds the index anew",
            ))
        }

        fn visit_alter_system(&mut self, _: &AlterSystemStatement) -> Result<(), Refused> {
            Err(Refused(
                "ALTER SYSTEM takes effect on one copy alone, at once and outside of any transaction: leave it out, and bound a \
                 request by its deadline_ms",
            ))
        }

        // SurrealDB walks along a path by recursion, and a thread whose stack is used up ends the process.
        fn visit_idiom(&mut self, idiom: &Idiom) -> Result<(), Refused> {
            if idiom.0.len() > PATH_PARTS_MAX {
                return Err(Refused(
                    "a path such as a->b->c has more than 5,000 parts: follow it in several statements",
                ));
            }
            idiom.0.iter().try_for_each(|part| self.visit_part(part))
        }
    }
    // Most texts have none of this, and need no search of their tree.
    if !mentions(sql, "rebuild") && !mentions(sql, "system") && !may_have_long_paths(sql) {
        return Ok(());
    }
    for expression in &ast.expressions {
        let searched = Search.visit_top_level_expr(&expression.clone().into());
        searched.map_err(|Refused(why)| StatementError::Unsupported(why))?;
    }
    Ok(())
}

/// The most parts of a path: far below what the stacks hold of the threads that carry out requests.
const PATH_PARTS_MAX: usize = 5_000;

/// Whether so many parts stand in the text, in all paths together, that SurrealDB handles by recursion: steps along edges and
/// references, and `?`. Most texts are too short for that to be looked at.
fn may_have_long_paths(sql: &str) -> bool {
    let is_part = |pair: &&[u8]| matches!(**pair, [b'-', b'>'] | [b'<', b'-' | b'~'] | [b'?', _]);
    sql.len() > PATH_PARTS_MAX && sql.as_bytes().windows(2).filter(is_part).count() > PATH_PARTS_MAX / 2
}

/// Whether a word stands somewhere in the text.
fn mentions(sql: &str, word: &str) -> bool {
    sql.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

pub(crate) fn check_query(ast: &Ast, sql: &str) -> Result<(), StatementError> {
    check_inside(ast, sql)?;
    for expression in &ast.expressions {
        check_common(expression)?;
        if writes(expression) {
            return Err(StatementError::ReadOnly);
        }
    }
    Ok(())
}

/// Whether a statement writes by its very kind. What writes inside of it is found when it runs in a read transaction; but
/// there, a table that is missing would be complained about first.
fn writes(expression: &TopLevelExpr) -> bool {
    matches!(
        expression,
        TopLevelExpr::Expr(
            Expr::Create(_)
                | Expr::Update(_)
                | Expr::Upsert(_)
                | Expr::Delete(_)
                | Expr::Relate(_)
                | Expr::Insert(_)
                | Expr::Define(_)
                | Expr::Remove(_)
                | Expr::Rebuild(_)
                | Expr::Alter(_)
        )
    )
}

fn check_common(expression: &TopLevelExpr) -> Result<(), StatementError> {
    match expression {
        TopLevelExpr::Begin => Err(StatementError::TransactionStatement("BEGIN")),
        TopLevelExpr::Commit => Err(StatementError::TransactionStatement("COMMIT")),
        TopLevelExpr::Cancel => Err(StatementError::TransactionStatement("CANCEL")),
        TopLevelExpr::Live(_) | TopLevelExpr::Kill(_) => Err(StatementError::Unsupported(
            "live queries need a lasting session, which a request does not have: poll with SHOW CHANGES instead",
        )),
        TopLevelExpr::Option(_) => {
            Err(StatementError::Unsupported("OPTION is only for SurrealDB's own import: leave it out"))
        }
        _ => Ok(()),
    }
}
