"""How "forget your instructions" and its like are said in languages other than English: words, and nothing that reads.

By language the words that order, and those for what is to be forgotten, obeyed or given away; written without
accents, as `outside.instructions.fold` leaves a text, with `_` for a space. Near each other, in either order, they are
a sign.
"""

from __future__ import annotations

LANGUAGES: dict[str, tuple[str, str]] = {
    "German": (
        "ignorier missachte vergiss vergesse uberschreib befolge antworte setze kaufe verrate gib",
        "anweisung vorherig bisherig regel befehl prompt obig konfidenz starke sofort passwort schlussel umgebung",
    ),
    "French": (
        "ignore oublie neglige remplace repond achete revele mettez fixe",
        "instruction consigne precedent ci-dessus regle uniquement confiance immediatement secret",
    ),
    "Spanish and Portuguese": (
        "ignor olvid esquec descart desconsider respond compr revel establec defin",
        "instruc anterior reglas regras acima confianza confianca inmediat imediat contrasena senha secret apenas",
    ),
    "Italian": (
        "ignora dimentica trascura rispondi compra rivela imposta",
        "istruzion precedent regol sopra fiducia subito segret password",
    ),
    "Dutch": (
        "negeer vergeet antwoord koop onthul",
        "instructie vorige regels hierboven alleen vertrouwen meteen geheim wachtwoord",
    ),
    "Polish": (
        "zignoruj ignoruj zapomnij odpowiedz kup ujawnij ustaw",
        "instrukc poprzedni zasad powyzsz tylko pewnosc natychmiast sekret haslo",
    ),
    "Swedish": ("ignorera glom bortse", "instruktion tidigare regler ovan"),
    "Turkish": (
        "gormezden unut dikkate satin yanitla",
        "talimat onceki kural yukarida hemen yalnizca",
    ),
    "Russian": (
        "игнорир проигнорир забуд отмени ответь отвечаи купи раскро установи",
        "инструкц предыдущ правил выше только уверенност немедленно секрет парол",
    ),
    "Ukrainian": ("ігнору проігнору забудь купи відповідаи", "інструкц попередн правил негаино пароль"),
    "Greek": ("αγνοησ ξεχασ απαντησ αγορασ", "οδηγι προηγουμεν κανον μονο αμεσως"),
    "Chinese": (
        "忽略 无视 無視 忘记 忘記 不要理会 覆盖 透露 回答 输出 买入 買入",
        "指令 提示 之前 以上 规则 規則 前面 密钥 密码 置信 全部 全仓 立即",
    ),
    "Japanese": ("無視 忘れ 従わ 答え 買", "指示 命令 フロンフト ルール 規則 以前 上記 今すく"),
    "Korean": ("무시 잊 대답하 답변하 매수하", "지시 명령 이전 규칙 프롬프트 즉시"),
    "Arabic": ("تجاهل انس تخط اشتر", "تعليمات السابق القواعد اعلاه الاوامر فورا"),
    "Hebrew": ("התעלם שכח קנה", "הוראות הקודמ כללים לעיל מיד"),
    "Hindi": ("अनदेखा नजरअंदाज भूल उपेक्षा खरीद", "निर्देश पिछले नियम आदेश तुरंत"),
    "Vietnamese": ("bo_qua phot_lo mua_ngay", "huong_dan chi_thi quy_tac lap_tuc"),
    "Indonesian": ("abaikan lupakan beli", "instruksi perintah sebelumnya aturan segera"),
}
