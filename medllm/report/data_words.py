"""Korean names of the codes in the data report. A code without a name here is shown as it is."""

SETS = {
    "aihub_71857": "국어 교과 지문형 문제",
    "aihub_71859": "수학 교과 문제 풀이과정",
    "aihub_71874": "전문 의학지식",
    "aihub_71875": "필수의료 의학지식",
    "aihub_interview": "인터뷰 진행 멀티턴",
    "reading": "지어낸 이름으로 하는 읽기 연습",
    "consultations": "상담 시나리오",
    "canary": "유출 확인용 문항",
    "kormedmcqa": "KorMedMCQA",
    "komedqa": "KoMedQA",
    "unknown": "세트를 알 수 없음",
}
KINDS = {
    "qa": "단답·서술",
    "choice": "객관식",
    "passage_choice": "지문형 객관식",
    "solution": "풀이",
    "dialogue": "인터뷰",
    "statement": "설명글",
    "chat": "대화",
}
ROLES = {"baseline_check": "기본 능력 확인", "distillation": "증류", "medical": "의료"}
PARTS = {"train": "학습", "validation": "평가"}
UNITS = {"questions": "문항", "problems": "문제", "interviews": "인터뷰"}
CONFIDENCE = {"high": "높음", "medium": "중간"}
REASONS = {
    "duplicate": "중복",
    "near_duplicate": "거의 같은 글",
    "same_file_twice": "같은 파일이 두 번",
    "passage_twice": "같은 지문",
    "held_out_fact": "보류한 사실",
    "copy_of_test_item": "평가 항목의 사본",
    "near_duplicate_of_test_question": "평가 질문과 거의 같은 질문",
    "near_duplicate_of_test_text": "평가 글과 거의 같은 글",
    "cluster_of_test_item": "평가 항목과 같은 묶음",
    "passage_of_test_item": "평가 항목과 같은 지문",
    "no_solution": "풀이 없음",
    "no_passage": "지문 없음",
    "not_korean": "한국어가 아님",
    "written_answer": "서술형 정답",
    "not_json": "JSON이 아님",
    "not_utf8": "UTF-8이 아님",
    "too_large": "너무 큰 파일",
    "options_not_five": "보기가 다섯이 아님",
    "options_not_rebuilt": "보기를 복원하지 못함",
    "answer_not_an_option": "정답이 보기에 없음",
    "unknown_domain": "모르는 분야 번호",
    "unknown_q_type": "모르는 문항 유형",
    "unknown_shape": "모르는 형식",
    "unknown_split": "모르는 분할",
    "wrong_set": "다른 세트의 항목",
    "wrong_number_of_cells": "칸 수가 다름",
    "turns_out_of_order": "대화 순서가 어긋남",
    "refused_by_schema": "레코드 형식에 어긋남",
    "neither_training_nor_validation": "학습도 평가도 아님",
    "id_of_another_item": "다른 항목과 같은 id",
}
_REASON_HEADS = {"empty": "빈 값", "missing": "빠진 값", "wrong_type": "형식이 다른 값", "broken_character": "깨진 글자"}
PII_KINDS = {
    "resident_number": "주민등록번호",
    "driving_licence": "운전면허번호",
    "insurance_number": "건강보험증번호",
    "chart_number": "등록번호",
    "card": "카드번호",
    "passport": "여권번호",
    "phone": "전화번호",
    "email": "이메일",
    "address": "주소",
    "name": "이름",
}
GATES = {
    "test_items_in_training_texts": "평가 항목이나 그 지문이 학습 글에 있는지",
    "held_out_facts_in_training_texts": "보류한 사실을 말하는 학습 글이 있는지",
    "held_out_forms_of_trained_facts_by_design": "학습한 사실을 다른 말로 묻는 평가 질문",
}
TABLES = {
    "departments": "진료과",
    "symptoms": "증상",
    "tests": "검사·시술",
    "drugs": "약",
    "diseases": "질환",
    "kcd": "KCD 코드",
    "terms": "용어",
    "redflags": "응급 신호",
    "passages": "지문",
    "interviews": "인터뷰",
    "scenarios": "상담 시나리오",
    "sources": "출처",
}
COLUMNS = {
    "department": "진료과",
    "kcd": "KCD 코드",
    "drug_class": "약의 분류",
    "level": "응급 단계",
    "standard": "표준 용어",
    "kind": "검사·시술 구분",
}
NODES = {"department": "진료과", "symptom": "증상", "test": "검사·시술", "drug": "약", "disease": "질환", "term": "용어"}
RELATIONS = {
    "routes_to": "진료과로 안내",
    "has_symptom": "질환의 증상",
    "examined_by": "질환의 검사",
    "treated_with": "질환의 약",
    "broader": "더 넓은 질환",
    "synonym": "같은 것을 가리키는 이름",
}
SOURCE_TYPES = {
    "statute": "법령",
    "public_notice": "공공기관 안내",
    "reference": "참고 자료",
    "general_knowledge": "작성자의 일반 지식",
}
OUTCOMES = {
    "emergency_119": "119 신고",
    "er": "응급실",
    "crisis": "위기 상담 (109)",
    "same_day": "당일 진료",
    "department": "진료과 안내",
    "self_care": "집에서 돌봄",
}


def reason_name(code: str) -> str:
    """Why an item was dropped; `empty:question` is named by its head."""
    head, _, field = code.partition(":")
    return REASONS.get(code) or (f"{_REASON_HEADS[head]} ({field})" if head in _REASON_HEADS else code)


def set_kind_name(code: str) -> str:
    """`aihub_71874/qa`, `aihub_71874/train` and `aihub_71874/qa/train` in words."""
    name, *rest = code.split("/")
    return " · ".join([SETS.get(name, name), *(KINDS.get(word) or PARTS.get(word, word) for word in rest)])
